package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// phpScript is about the least that a PHP application does with an event.
const phpScript = `<?php
$event = json_decode(file_get_contents('php://input'), true);
if (!isset($event['event'])) {
	http_response_code(400);
	exit;
}
echo "ok\n";
`

// php is PHP-FPM as a backend.
type php struct {
	program string
	dir     string // its own folder
}

// findPHP returns nil where PHP-FPM is not installed.
func findPHP(dir string) *php {
	for _, pattern := range []string{"/usr/sbin/php-fpm*", "/usr/local/sbin/php-fpm*"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // no pattern is malformed
			return &php{program: found[len(found)-1], dir: filepath.Join(dir, "php")}
		}
	}
	return nil
}

// proxy has the backend's address.
func (p *php) proxy() string { return "root " + p.dir + "\n\t\tphp_fastcgi %s" }

// start starts PHP-FPM with a process for each core, and returns its address.
func (p *php) start(ctx context.Context) (*process.Process, string, error) {
	address, config := process.FreeAddress(), filepath.Join(p.dir, "fpm.conf")
	pool := fmt.Sprintf("[global]\nerror_log = %s\n[www]\nlisten = %s\npm = static\npm.max_children = %d\n",
		filepath.Join(p.dir, "fpm.log"), address, runtime.NumCPU())
	args := []string{"-n", "-F", "-p", p.dir, "-y", config}
	if os.Getuid() == 0 {
		pool += "user = root\ngroup = root\n"
		args = append(args, "-R")
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, "", err
	}
	for path, text := range map[string]string{config: pool, filepath.Join(p.dir, "index.php"): phpScript} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, "", err
		}
	}
	fpm, err := process.Start(p.dir, exec.Command(p.program, args...)) //nolint:gosec // found where the system keeps it
	if err != nil {
		return nil, "", err
	}
	if err := fpm.AwaitListening(ctx, address); err != nil {
		err = fmt.Errorf("PHP-FPM: %w\n%s", err, fpm.Log())
		fpm.Stop()
		return nil, "", err
	}
	return fpm, address, nil
}
