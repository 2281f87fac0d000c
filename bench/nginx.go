package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"text/template"

	"github.com/klinkgate/caddy-klink/bench/process"
)

//go:embed nginx
var nginxFiles embed.FS

// nginxModules is where Debian's packages put them.
const nginxModules = "/usr/lib/nginx/modules/"

// startNginx runs nginx with nginx/<variant>.conf inside the location that proxies, and its modules.
func startNginx(variant string, modules ...string) starter {
	return func(p place) (*process.Process, error) {
		config := filepath.Join(p.dir, "nginx.conf")
		if err := writeNginx(config, variant, modules, p); err != nil {
			return nil, err
		}
		return process.Start(p.dir, exec.Command("nginx", "-p", p.dir, "-e", filepath.Join(p.dir, "error.log"), "-c", config)) //nolint:gosec // our own folder
	}
}

func writeNginx(config, variant string, modules []string, p place) error {
	texts, err := template.ParseFS(nginxFiles, "nginx/*.conf")
	if err != nil {
		return err
	}
	for _, name := range []string{"hmac.lua", "hmac.js"} {
		script, err := nginxFiles.ReadFile("nginx/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.dir, name), script, 0o600); err != nil {
			return err
		}
	}
	f, err := os.Create(config) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	err = texts.ExecuteTemplate(f, "nginx.conf", map[string]any{
		"Dir": p.dir, "Listen": p.listen, "Backend": p.backend, "Secret": secret,
		"Variant": variant, "ModuleDir": nginxModules, "Modules": modules, "Workers": runtime.NumCPU(), "Root": os.Getuid() == 0,
	})
	if err != nil {
		return err
	}
	return f.Close()
}

// missingNginx says what must be installed, or nothing.
func missingNginx(modules ...string) func() string {
	return func() string {
		if _, err := exec.LookPath("nginx"); err != nil {
			return "nginx is not installed (Debian's package nginx)"
		}
		for _, name := range modules {
			if _, err := os.Stat(nginxModules + name); err != nil {
				return fmt.Sprintf("nginx has no %s (Debian's packages libnginx-mod-http-lua, libnginx-mod-http-js)", name)
			}
		}
		return ""
	}
}
