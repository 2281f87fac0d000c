package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The program starts itself for the processes that it needs. The variable says which of them it is to be.
const roleVariable = "KLINK_BENCH_ROLE"

const (
	roleBackend = "backend"
	roleCaddy   = "caddy"
	roleChecker = "checker"
)

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
