package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPU returns the CPU time, user and system, that the process and its children have had. Each thread's schedstat counts
// nanoseconds, where stat has ticks of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	var total time.Duration
	for _, pid := range family(p.cmd.Process.Pid) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil || len(threads) == 0 {
			return 0, fmt.Errorf("no CPU times of process %d: this needs Linux's /proc with schedstat", pid)
		}
		for _, name := range threads {
			text, err := os.ReadFile(name) //nolint:gosec // in /proc
			if err != nil {
				return 0, err
			}
			first, _, _ := strings.Cut(string(text), " ")
			ns, err := strconv.ParseInt(first, 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(ns)
		}
	}
	return total, nil
}

// Peak returns the largest resident memory, in bytes, that the process and its children ever had. What they share is
// counted for each.
func (p *Process) Peak() (int64, error) {
	var total int64
	for _, pid := range family(p.cmd.Process.Pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, rest, found := bytes.Cut(text, []byte("VmHWM:"))
		fields := bytes.Fields(rest)
		if !found || len(fields) == 0 {
			return 0, fmt.Errorf("no VmHWM in the status of process %d", pid)
		}
		kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			return 0, err
		}
		total += kb << 10
	}
	return total, nil
}

// family returns a process and its children.
func family(pid int) []int {
	pids := []int{pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, name := range stats {
		text, err := os.ReadFile(name) //nolint:gosec // in /proc
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid ...
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
