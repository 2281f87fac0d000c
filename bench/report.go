package main

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// goal is a figure that should not be exceeded.
type goal struct {
	what             string
	measured, atMost float64
}

func (b *bench) printMachine() {
	b.printf("%s; %d cores, %s; %s, Caddy %s, %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), cpuModel(),
		runtime.Version(), caddyVersion(), nginxVersion())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		b.printf("Load average before: %s\n", strings.Join(strings.Fields(string(load))[:3], " "))
	}
	b.printf("%d rounds of %v after %v of warming up, %d connections; medians; × is the median of each round's ratio\n",
		b.rounds, b.duration, b.warmup, b.connections)
	for _, line := range b.missing {
		b.printf("%s\n", line)
	}
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // elsewhere there is none
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	if model := strings.TrimLeft(line, "\t :"); model != "" {
		return model
	}
	return runtime.GOARCH
}

func caddyVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	for _, module := range info.Deps {
		if module.Path == "github.com/caddyserver/caddy/v2" {
			return module.Version
		}
	}
	return "of unknown version"
}

func nginxVersion() string {
	text, err := exec.Command("nginx", "-v").CombinedOutput()
	if err != nil {
		return "no nginx"
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(text)), "nginx version: ")
	return version
}

func (b *bench) printContests(title string, contests []*contest) {
	b.printf("\n%s\n\n", title)
	b.printf("| %-19s | CPU/request |    × | quartiles | requests/s |    × |      p50 |    × |      p99 |    × | peak MB |    × | failed |\n", "")
	b.printf("|%s|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", strings.Repeat("-", 21))
	plain := contests[0]
	for _, c := range contests {
		cpu := ratios(c.samples, plain.samples, cpuOf)
		failed, text := reasons(c.failures)
		b.printf("| %-19s | %8.1f µs | %4.2f | %4.2f–%4.2f | %10.0f | %4.2f | %5.2f ms | %4.2f | %5.2f ms | %4.2f | %7.0f | %4.2f | %6d |\n",
			c.name,
			1e6*median(values(c.samples, cpuOf)), median(cpu), quantile(cpu, 0.25), quantile(cpu, 0.75),
			median(values(c.samples, throughputOf)), median(ratios(c.samples, plain.samples, throughputOf)),
			1e3*median(values(c.samples, p50Of)), median(ratios(c.samples, plain.samples, p50Of)),
			1e3*median(values(c.samples, p99Of)), median(ratios(c.samples, plain.samples, p99Of)),
			float64(c.peakMemory)/1e6, float64(c.peakMemory)/float64(plain.peakMemory),
			failed)
		if failed > 0 {
			defer b.printf("\n%s failed%s\n", c.name, text)
		}
	}
}

func (b *bench) printStores(contests []*contest) {
	b.printf("\nEvents of 1 KB stored on disk before the 200, from %d connections, each inbox by itself; away: no backend is there\n\n", b.connections)
	b.printf("| %-24s | events/s | lowest–highest |      p50 |      p99 | failed |\n|%s|--:|--:|--:|--:|--:|\n", "", strings.Repeat("-", 26))
	for _, c := range contests {
		rates := values(c.samples, throughputOf)
		failed, text := reasons(c.failures)
		b.printf("| %-24s | %8.0f | %6.0f–%-7.0f | %5.2f ms | %5.2f ms | %6d |\n", c.name,
			median(rates), quantile(rates, 0), quantile(rates, 1),
			1e3*median(values(c.samples, p50Of)), 1e3*median(values(c.samples, p99Of)), failed)
		if failed > 0 {
			defer b.printf("\n%s failed%s\n", c.name, text)
		}
	}
}

func (b *bench) printHoldings(holdings []*holding) {
	b.printf("\n%d bodies of 1 MiB held by the backend (%d MB in all), %d runs with fresh processes\n\n",
		b.held, b.held*heldBody/1e6, b.heldRuns)
	b.printf("| %-19s | peak MB | of their size | lowest–highest | failed |\n", "")
	b.printf("|%s|--:|--:|--:|--:|\n", strings.Repeat("-", 21))
	for _, h := range holdings {
		failed, text := reasons(h.failures)
		b.printf("| %-19s | %7.0f | %13.2f | %9.2f–%.2f | %6d |\n",
			h.name, median(h.bytes)/1e6, median(h.peaks), quantile(h.peaks, 0), quantile(h.peaks, 1), failed)
		if failed > 0 {
			defer b.printf("\n%s failed%s\n", h.name, text)
		}
	}
}

func (b *bench) printSolos(title string, solos []*solo) {
	b.printf("\n%s\n\n", title)
	b.printf("| %-19s |      time |     × | lowest–highest | allocations |  bytes |\n", "")
	b.printf("|%s|--:|--:|--:|--:|--:|\n", strings.Repeat("-", 21))
	for _, s := range solos {
		b.printf("| %-19s | %6.2f µs | %5.2f | %7.2f–%6.2f | %11.1f | %6.0f |\n", s.name,
			1e6*median(s.seconds), median(s.ratios), quantile(s.ratios, 0), quantile(s.ratios, 1),
			median(s.allocations), median(s.bytes))
	}
}

func (b *bench) printGoals(goals []goal) {
	b.printf("\nTargets\n\n| %-55s | at most | measured |        |\n|%s|--:|--:|---|\n", "", strings.Repeat("-", 57))
	for _, g := range goals {
		verdict := "met"
		if g.measured > g.atMost {
			verdict = "MISSED"
		}
		b.printf("| %-55s | %7.2f | %8.2f | %-6s |\n", g.what, g.atMost, g.measured, verdict)
	}
}
