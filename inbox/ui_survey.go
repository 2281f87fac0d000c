package inbox

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// survey is what was found of pages on the ways that requests take through a
// server's routes, without regard to matchers.
//
// While a page is provisioned, the route of the server that it is in, and those
// behind it, are still JSON; those before it are loaded, and their JSON is gone.
// So both are looked at.
type survey struct {
	server      *caddyhttp.Server
	guarded     int // ways to pages on which an authenticating handler comes first
	unguarded   int // ways on which none does
	forwardAuth bool
	invoked     map[string]bool // named routes on the way
}

// guards are the authenticating handlers that a request has come by.
type guards struct{ authentication, forwardAuth bool }

func surveyOf(server *caddyhttp.Server) *survey {
	s := &survey{server: server, invoked: make(map[string]bool)}
	s.routes(server.Routes, new(guards))
	if server.Errors != nil { // whoever was not let in comes here, too
		s.routes(server.Errors.Routes, new(guards))
	}
	return s
}

func (s *survey) page(g guards) {
	if !g.authentication && !g.forwardAuth {
		s.unguarded++
		return
	}
	s.guarded++
	s.forwardAuth = s.forwardAuth || g.forwardAuth
}

// routes follows routes in their order. What one of them has come by counts for
// the next ones only if a request goes on from it to them.
func (s *survey) routes(routes caddyhttp.RouteList, g *guards) {
	for _, route := range routes {
		inside := *g
		for _, raw := range route.HandlersRaw {
			var handler map[string]any
			if json.Unmarshal(raw, &handler) == nil {
				s.handler(handler, &inside)
			}
		}
		for _, handler := range route.Handlers {
			s.loaded(handler, &inside)
		}
		if !route.Terminal && route.Group == "" {
			*g = inside
		}
	}
}

// loaded looks at a handler that is provisioned. A page inside of others than
// these has looked at its surroundings itself when it was.
func (s *survey) loaded(handler caddyhttp.MiddlewareHandler, g *guards) {
	switch handler := handler.(type) {
	case *caddyauth.Authentication:
		g.authentication = true
	case *reverseproxy.Handler:
		for _, response := range handler.HandleResponse {
			if response.Match != nil && forwardsAuth(response.Match.StatusCode) {
				g.forwardAuth = true
			}
		}
	case *caddyhttp.Subroute:
		before := *g
		s.routes(handler.Routes, g)
		if handler.Errors != nil {
			s.routes(handler.Errors.Routes, &before)
		}
	case *caddyhttp.Invoke:
		s.named(handler.Name, g)
	case *UI:
		if !handler.AllowUnauthenticated {
			s.page(*g)
		}
	}
}

// handler looks at a handler's JSON.
func (s *survey) handler(handler map[string]any, g *guards) {
	switch handler["handler"] {
	case "authentication":
		g.authentication = true
	case "subroute":
		before := *g
		s.list(handler["routes"], g)
		s.within(handler["errors"], before)
	case "invoke":
		name, _ := handler["name"].(string)
		s.named(name, g)
	case "klink_inbox_ui":
		if handler["allow_unauthenticated"] != true {
			s.page(*g)
		}
	case "reverse_proxy":
		s.within(handler, *g)
		g.forwardAuth = g.forwardAuth || isForwardAuth(handler)
	default:
		s.within(handler, *g)
	}
}

// named follows a named route, which goes on behind the handler that invokes it.
func (s *survey) named(name string, g *guards) {
	route := s.server.NamedRoutes[name]
	if route == nil || s.invoked[name] {
		return
	}
	s.invoked[name] = true
	s.routes(caddyhttp.RouteList{*route}, g)
	delete(s.invoked, name)
}

// within looks for routes anywhere in a piece of JSON. Requests come to them
// from where it stands, and go nowhere that is known.
func (s *survey) within(value any, g guards) {
	switch value := value.(type) {
	case map[string]any:
		for _, inner := range value {
			s.within(inner, g)
		}
	case []any:
		if isRouteList(value) {
			s.list(value, &g)
			return
		}
		for _, inner := range value {
			s.within(inner, g)
		}
	}
}

func isRouteList(list []any) bool {
	for _, element := range list {
		if route, ok := element.(map[string]any); ok && route["handle"] != nil {
			return true
		}
	}
	return false
}

// list follows a list of routes in JSON.
func (s *survey) list(value any, g *guards) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return
	}
	var routes caddyhttp.RouteList
	if json.Unmarshal(encoded, &routes) == nil {
		s.routes(routes, g)
	}
}

// isForwardAuth says whether a reverse_proxy passes a request on once the server
// that it asks has answered 2xx, which is what forward_auth is.
func isForwardAuth(handler map[string]any) bool {
	encoded, err := json.Marshal(handler["handle_response"])
	if err != nil {
		return false
	}
	var responses []caddyhttp.ResponseHandler
	if json.Unmarshal(encoded, &responses) != nil {
		return false
	}
	for _, response := range responses {
		if response.Match != nil && forwardsAuth(response.Match.StatusCode) {
			return true
		}
	}
	return false
}

func forwardsAuth(statuses []int) bool {
	for _, status := range statuses {
		if status != 2 && (status < 200 || status > 299) {
			return false
		}
	}
	return len(statuses) > 0
}
