package main

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel stop the child should this program be killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
