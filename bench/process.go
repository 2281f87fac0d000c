package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a child that this program stops when it is done with it.
type process struct {
	cmd     *exec.Cmd
	logPath string
	ended   chan struct{}
}

// startSelf runs this program in a role.
func startSelf(dir, role string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...) //nolint:gosec // this program
	// Without Caddy's own folders: nothing of the user's is read or written.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	return start(dir, cmd)
}

func start(dir string, cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, logPath: filepath.Join(dir, "log"), ended: make(chan struct{})}
	log, err := os.Create(p.logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own handle
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // a child that was told to stop may say so in its exit code
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end, and ends it when it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// log returns the end of what the process has written.
func (p *process) log() []byte {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return nil
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-10):], []byte("\n"))
}
