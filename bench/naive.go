package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(new(naive))
	httpcaddyfile.RegisterHandlerDirective("bench_naive", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		n := new(naive)
		h.Next()
		if !h.AllArgs(&n.Secret) {
			return nil, h.ArgErr()
		}
		return n, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("bench_naive", httpcaddyfile.Before, "basic_auth")
}

// naive checks the same signature as the gateway in the way that comes to mind first. It has no limits and makes no
// other check.
type naive struct {
	Secret string `json:"secret"`
}

func (*naive) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_naive", New: func() caddy.Module { return new(naive) }}
}

func (n *naive) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return caddyhttp.Error(http.StatusBadRequest, err)
	}
	var event any
	if err := json.Unmarshal(body, &event); err != nil {
		return caddyhttp.Error(http.StatusBadRequest, err)
	}
	normal, err := json.Marshal(event)
	if err != nil {
		return caddyhttp.Error(http.StatusBadRequest, err)
	}
	mac := hmac.New(sha256.New, []byte(n.Secret))
	mac.Write([]byte(r.Method + "http://" + r.Host + r.URL.Path))
	mac.Write(normal)
	signature, err := hex.DecodeString(r.Header.Get("X-Signature"))
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
		return caddyhttp.Error(http.StatusUnauthorized, nil)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return next.ServeHTTP(w, r)
}
