package klink

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

const adminEndpoints = "/klink/endpoints"

// adminAPI shows on Caddy's admin endpoint what the endpoints of this process
// have seen:
//
//	GET /klink/endpoints         {"endpoints": [ … ]}, by name
//	GET /klink/endpoints/<name>  one of them, or 404
//
// There is no secret, no header's value and no body in it.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.klink",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements caddy.AdminRouter.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: adminEndpoints, Handler: caddy.AdminHandlerFunc(a.list)},
		{Pattern: adminEndpoints + "/", Handler: caddy.AdminHandlerFunc(a.one)},
	}
}

// EndpointList is the answer to GET /klink/endpoints.
type EndpointList struct {
	Endpoints []Status `json:"endpoints"`
}

func (*adminAPI) list(w http.ResponseWriter, r *http.Request) error {
	list := EndpointList{Endpoints: []Status{}}
	endpoints.Range(func(_, value any) bool {
		list.Endpoints = append(list.Endpoints, value.(*endpoint).status())
		return true
	})
	slices.SortFunc(list.Endpoints, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return answerJSON(w, r, list)
}

func (*adminAPI) one(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, adminEndpoints+"/")
	var found *endpoint
	endpoints.Range(func(key, value any) bool {
		if key == name {
			found = value.(*endpoint)
		}
		return found == nil
	})
	if found == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("there is no endpoint %q", name)}
	}
	return answerJSON(w, r, found.status())
}

func answerJSON(w http.ResponseWriter, r *http.Request, value any) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("only GET is answered here")}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

// Interface guard
var _ caddy.AdminRouter = (*adminAPI)(nil)
