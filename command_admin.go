package klink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

const (
	adminTimeout = 10 * time.Second
	maxAnswer    = 64 << 20 // bytes of the admin API's answer
)

// adminFlags say where the admin endpoint of a running Caddy is.
type adminFlags struct {
	address string
	config  string
	adapter string
}

func (a *adminFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&a.address, "address", "", "`address` of the admin endpoint, if not the default")
	flags.StringVarP(&a.config, "config", "c", "", "configuration `file` that says the admin address, without --address")
	flags.StringVarP(&a.adapter, "adapter", "a", "", "`name` of the config adapter, with --config")
}

func (a *adminFlags) determine() (address string, err error) {
	address, err = caddycmd.DetermineAdminAPIAddress(a.address, nil, a.config, a.adapter)
	if err != nil {
		return "", fmt.Errorf("the address of Caddy's admin endpoint: %w", err)
	}
	return address, nil
}

// adminError is what an admin endpoint has refused a request with.
type adminError struct {
	status int
	text   string
}

func (e *adminError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.status, e.text) }

// askAdmin asks an admin endpoint and decodes its answer. Caddy's own client has
// no time-out, so it is left behind when it takes too long.
func askAdmin(ctx context.Context, address, method, uri string, value any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, adminTimeout, fmt.Errorf("no answer within %v", adminTimeout))
	defer cancel()
	type answer struct {
		body []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		body, err := requestAdmin(address, method, uri)
		answered <- answer{body, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return a.err
		}
		if err := json.Unmarshal(a.body, value); err != nil {
			return fmt.Errorf("the answer of Caddy's admin endpoint at %s cannot be read: %w", address, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("asking Caddy's admin endpoint at %s: %w", address, context.Cause(ctx))
	}
}

func requestAdmin(address, method, uri string) ([]byte, error) {
	response, err := caddycmd.AdminAPIRequest(address, method, uri, http.Header{"Connection": {"close"}}, nil)
	if err != nil {
		asking := "asking Caddy's admin endpoint at " + address
		if refused := refusedByAdmin(err); refused != nil {
			return nil, fmt.Errorf("%s: %w", asking, refused)
		}
		return nil, fmt.Errorf("%s: %w; is Caddy running, with its admin endpoint there? See --address", asking, err)
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(io.LimitReader(response.Body, maxAnswer))
}

// adminRefusal is how Caddy's client says what an admin endpoint has answered.
var adminRefusal = regexp.MustCompile(`(?s)^caddy responded with error: HTTP (\d+): (.*)$`)

func refusedByAdmin(err error) *adminError {
	m := adminRefusal.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	status, _ := strconv.Atoi(m[1])
	var said struct{ Error string }
	if json.Unmarshal([]byte(m[2]), &said) != nil || said.Error == "" {
		said.Error = strings.TrimSpace(m[2])
	}
	return &adminError{status, said.Error}
}

// missing says whether an admin endpoint does not know what was asked for.
func missing(err error) bool {
	refused, ok := errors.AsType[*adminError](err)
	return ok && refused.status == http.StatusNotFound
}
