package klink_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestReloadUnderLoad changes secrets and options twenty times while eight
// clients deliver: every answer is 200, and every body arrives as it was sent.
// It is Caddy's real reload, so no other server runs beside it.
func TestReloadUnderLoad(t *testing.T) {
	good := new(checker)
	address := listen(t, good.ServeHTTP)
	dir := shortTempDir(t)
	s := &server{socket: filepath.Join(dir, "caddy.sock"), logFile: filepath.Join(dir, "log.json")}
	load := func(i int) {
		t.Helper()
		config := adapt(t, s.expand(fmt.Sprintf(`{
			admin off
			auto_https off
			persist_config off
			log {
				output file {log}
			}
			servers {
				trusted_proxies_unix
			}
		}
		http:// {
			bind unix/{socket}
			klink_webhook {
				hmac "secret %d" "%s"
				max_body %dKiB
			}
			reverse_proxy %s
		}`, i, testSecret, 1024+i, address)))
		if err := caddy.Load(config, true); err != nil {
			t.Fatal(err)
		}
	}
	load(0)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.client = s.newClient()

	var stop atomic.Bool
	var sent atomic.Int64
	var wg sync.WaitGroup
	progress := make(chan struct{}, 1)
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				body := distinctBody([]int{100, 5 << 10, 100 << 10, 300 << 10}[rand.IntN(4)])
				a, err := s.try(hashed(t, body))
				for tries := 1; err != nil && tries < 5; tries++ {
					// net/http closes a connection that it takes in the moment of the change.
					a, err = s.try(hashed(t, body))
				}
				if err != nil || a.status != 200 {
					t.Errorf("delivery %d: %v, %v", sent.Load(), a, err)
					return
				}
				sent.Add(1)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range 20 {
		for range 3 { // so that deliveries fall between one reload and the next
			<-progress
		}
		load(i + 1)
	}
	stop.Store(true)
	wg.Wait()
	if n := good.good.Load(); n < sent.Load() || n < 60 || good.wrong.Load()+good.broken.Load() > 0 {
		t.Errorf("%d sent, %d good, %d wrong, %d broken", sent.Load(), n, good.wrong.Load(), good.broken.Load())
	}
}
