// Package process is about the children of a measurement: they are started, watched and stopped, and end with it.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a child that whoever started it stops when done with it.
type Process struct {
	cmd     *exec.Cmd
	logPath string
	ended   chan struct{}
}

// Start starts cmd. What it prints is added to the file log in dir.
func Start(dir string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, logPath: filepath.Join(dir, "log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // our own folder
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

// Stop asks the process to end, and ends it when it does not.
func (p *Process) Stop() { p.End(syscall.SIGTERM) }

// End sends a signal that should end the process, ends it when it does not, and returns once it has ended.
func (p *Process) End(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Log returns the end of what the process has written.
func (p *Process) Log() []byte {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return nil
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-10):], []byte("\n"))
}

// AwaitListening returns when the process takes connections.
func (p *Process) AwaitListening(ctx context.Context, address string) error {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return errors.New("the process has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("the process does not listen on " + address)
}

// FreeAddress returns a loopback address that nobody listens on. Its port is below those that kernels give to clients, so
// that nobody else gets it while nobody listens.
func FreeAddress() string {
	const first, end = 10240, 32768
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(end-first)) //nolint:gosec // need not be a secret
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	return ""
}
