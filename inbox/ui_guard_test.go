package inbox_test

import (
	"strings"
	"testing"
)

const (
	basicAuth = `basic_auth {
		operator $2a$04$MJ1YkyH.Nb9rfBdcKjCbpOY9DYWkqUjIhU0NhNXzQZfgxQgpPeE96
	}`
	forwardAuth = `forward_auth 127.0.0.1:9091 {
		uri /verify
		copy_headers Remote-User
	}`
)

// TestUIGuard holds that a page that anybody could open does not load, and that
// one which a handler before it protects does.
func TestUIGuard(t *testing.T) {
	t.Parallel()
	const refused, loads = false, true
	for name, c := range map[string]struct {
		loads bool
		site  string
	}{
		"nothing before it": {refused, `klink_inbox_ui /inbox`},
		"nothing before it in a handle": {refused, `handle /inbox/* {
			klink_inbox_ui /inbox
		}`},
		"the word": {loads, `klink_inbox_ui /inbox {
			allow_unauthenticated
		}`},

		"basic_auth in the site": {loads, basicAuth + `
			klink_inbox_ui /inbox`},
		"basic_auth in the same handle": {loads, `handle /inbox/* {
			` + basicAuth + `
			klink_inbox_ui /inbox
		}`},
		"basic_auth in the same handle, and a page in handle_path": {loads, `handle_path /inbox/* {
			` + basicAuth + `
			klink_inbox_ui /inbox
		}`},
		"basic_auth in an enclosing handle": {loads, `handle /ops/* {
			` + basicAuth + `
			handle /ops/inbox/* {
				route {
					klink_inbox_ui /ops/inbox
				}
			}
		}`},
		"basic_auth with a matcher of its own": {loads, strings.Replace(basicAuth, "{", "/inbox/* {", 1) + `
			klink_inbox_ui /inbox`},
		"basic_auth in a route before it": {loads, `route {
			route {
				` + basicAuth + `
			}
			klink_inbox_ui /inbox
		}`},
		"basic_auth behind it": {refused, `route {
			klink_inbox_ui /inbox
			` + basicAuth + `
		}`},
		"basic_auth in a handle beside it": {refused, `handle /metrics/* {
			` + basicAuth + `
			metrics
		}
		handle /inbox/* {
			klink_inbox_ui /inbox
		}`},
		"one page with basic_auth and one without": {refused, `handle /inbox/* {
			` + basicAuth + `
			klink_inbox_ui /inbox
		}
		handle {
			klink_inbox_ui /page
		}`},
		"one page with basic_auth and one with the word": {loads, `handle /inbox/* {
			` + basicAuth + `
			klink_inbox_ui /inbox
		}
		handle {
			klink_inbox_ui /page {
				allow_unauthenticated
			}
		}`},

		"forward_auth": {loads, `handle /inbox/* {
			` + forwardAuth + `
			klink_inbox_ui /inbox
		}`},
		"a reverse_proxy that passes on what is not found": {refused, `route /inbox/* {
			reverse_proxy 127.0.0.1:9000 {
				@missing status 404
				handle_response @missing {
					vars found no
				}
			}
			klink_inbox_ui /inbox
		}`},
		"in an answer of a reverse_proxy": {refused, `reverse_proxy 127.0.0.1:9000 {
			handle_response {
				klink_inbox_ui /inbox
			}
		}`},
		"in an answer of a reverse_proxy behind basic_auth": {loads, basicAuth + `
			reverse_proxy 127.0.0.1:9000 {
				handle_response {
					klink_inbox_ui /inbox
				}
			}`},

		"for whom basic_auth did not let in": {refused, basicAuth + `
			handle_errors {
				klink_inbox_ui /inbox
			}`},
		"klink_webhook before it, which knows no operators": {refused, `route {
			klink_webhook {
				hmac ` + secret + `
			}
			klink_inbox_ui /inbox
		}`},

		"invoked without basic_auth":        {refused, `invoke page`},
		"invoked behind basic_auth":         {loads, basicAuth + "\ninvoke page"},
		"invoked from another named route":  {refused, `invoke around`},
		"invoked there, behind basic_auth":  {loads, basicAuth + "\ninvoke around"},
		"invoked in a loop":                 {refused, `invoke loop`},
		"behind basic_auth that is invoked": {loads, "invoke auth\nklink_inbox_ui /inbox"},
		"invoked once behind basic_auth and once not": {refused, `handle /a/* {
			` + basicAuth + `
			invoke page
		}
		handle {
			invoke page
		}`},
		"invoked with basic_auth of its own": {loads, `invoke guarded`},
	} {
		for where, site := range map[string]string{
			"a port":                            ":8080",
			"a host":                            "http://ops.example.com",
			"a host among others":               "http://127.0.0.1:8081 {\n}\nhttp://ops.example.com",
			"a host beside one with basic_auth": "http://other.example.com {\n" + basicAuth + "\nrespond 200\n}\nhttp://ops.example.com",
			"a host called localhost":           "http://localhost:8080",
			"a loopback address and another":    "http:// {\nbind 127.0.0.1\n}\nhttp://ops.example.com:80",
		} {
			t.Run(name+" on "+where, func(t *testing.T) {
				t.Parallel()
				err := loadPage(t, namedRoutes+site+" {\n"+c.site+"\n}")
				if c.loads && err != nil || !c.loads && (err == nil || !strings.Contains(err.Error(), "put basic_auth")) {
					t.Errorf("loads: %v, want %v", err, c.loads)
				}
			})
		}
	}
}

const namedRoutes = `{
	admin off
	auto_https off
	persist_config off
	log {
		output discard
	}
}
&(page) {
	klink_inbox_ui /inbox
}
&(around) {
	handle /inbox/* {
		invoke page
	}
}
&(loop) {
	route {
		klink_inbox_ui /inbox
		invoke loop
	}
}
&(auth) {
	` + basicAuth + `
}
&(guarded) {
	` + basicAuth + `
	klink_inbox_ui /inbox
}
`

func loadPage(t testing.TB, caddyfile string) error {
	t.Helper()
	return loadConfig(adapt(t, caddyfile))
}

// loadConfig does what Caddy does before it listens.
func loadConfig(written []byte) error {
	c, err := provision(written)
	if err == nil {
		c.release()
	}
	return err
}

// TestUIGuardJSON holds the same of what a Caddyfile cannot say.
func TestUIGuardJSON(t *testing.T) {
	t.Parallel()
	const (
		page = `{"handler":"klink_inbox_ui","path":"/inbox"}`
		auth = `{"handler":"authentication","providers":{"http_basic":{"accounts":[{"username":"operator","password":"$2a$04$MJ1YkyH.Nb9rfBdcKjCbpOY9DYWkqUjIhU0NhNXzQZfgxQgpPeE96"}]}}}`
	)
	for name, test := range map[string]struct {
		loads  bool
		server string
	}{
		"in one route behind it":           {true, `"routes":[{"handle":[` + auth + `,` + page + `]}]`},
		"in one route before it":           {false, `"routes":[{"handle":[` + page + `,` + auth + `]}]`},
		"in the next route":                {true, `"routes":[{"handle":[` + auth + `]},{"handle":[` + page + `]}]`},
		"behind a terminal route":          {false, `"routes":[{"terminal":true,"handle":[` + auth + `]},{"handle":[` + page + `]}]`},
		"in a group with it":               {false, `"routes":[{"group":"g","handle":[` + auth + `]},{"group":"g","handle":[` + page + `]}]`},
		"for the errors of a subroute":     {false, `"routes":[{"handle":[{"handler":"subroute","routes":[{"handle":[` + auth + `]}],"errors":{"routes":[{"handle":[` + page + `]}]}}]}]`},
		"for those of one behind it":       {true, `"routes":[{"handle":[` + auth + `,{"handler":"subroute","routes":[{"handle":[{"handler":"static_response"}]}],"errors":{"routes":[{"handle":[` + page + `]}]}}]}]`},
		"in a route that nobody invokes":   {false, `"named_routes":{"page":{"handle":[` + page + `]}}`},
		"in one that another one invokes":  {true, `"routes":[{"handle":[` + auth + `,{"handler":"invoke","name":"a"}]}],"named_routes":{"a":{"handle":[{"handler":"invoke","name":"b"}]},"b":{"handle":[` + page + `]}}`},
		"on a server that listens nowhere": {false, `"listen":[],"routes":[{"handle":[` + page + `]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := test.server
			if !strings.Contains(server, "listen") {
				server = `"listen":[":8080"],` + server
			}
			err := loadConfig([]byte(`{"admin":{"disabled":true},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},"apps":{"http":{"servers":{"s":{` +
				server + `,"automatic_https":{"disable":true}}}}}}`))
			if test.loads && err != nil || !test.loads && (err == nil || !strings.Contains(err.Error(), "put basic_auth")) {
				t.Errorf("loads: %v, want %v", err, test.loads)
			}
		})
	}
}

// TestUILocalSite holds that a page needs no authentication on a site that listens
// on this machine only.
func TestUILocalSite(t *testing.T) {
	t.Parallel()
	for bind, loads := range map[string]bool{
		"127.0.0.1":                    true,
		"127.0.0.1 ::1":                true,
		"localhost":                    true,
		"unix//tmp/klink-ui-test.sock": true,
		"127.0.0.1 192.0.2.1":          false,
		"0.0.0.0":                      false,
		"::":                           false,
		"fd/3":                         false, // whatever that is
	} {
		t.Run(bind, func(t *testing.T) {
			t.Parallel()
			err := loadPage(t, namedRoutes+"http://:8080 {\nbind "+bind+"\nklink_inbox_ui /inbox\n}")
			if (err == nil) != loads {
				t.Errorf("loads: %v, want %v", err, loads)
			}
		})
	}
}
