package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// The program starts itself for the processes that it needs. The variable says which of them it is to be.
const roleVariable = "KLINK_BENCH_ROLE"

const (
	roleBackend = "backend"
	roleCaddy   = "caddy"
	roleChecker = "checker"
)

// startSelf runs this program in a role.
func startSelf(dir, role string, args ...string) (*process.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...) //nolint:gosec // this program
	// Without Caddy's own folders: nothing of the user's is read or written.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	return process.Start(dir, cmd)
}

func play(role string, args []string) error {
	switch {
	case role == roleBackend && len(args) == 2:
		return playBackend(args[0], args[1])
	case role == roleCaddy && len(args) == 2:
		return playCaddy(args[0], args[1])
	case role == roleChecker && len(args) == 1:
		return playChecker(args[0])
	}
	return fmt.Errorf("no role %q with %d arguments", role, len(args))
}

// untilStopped returns when the process is asked to end.
func untilStopped() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}
