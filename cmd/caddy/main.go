// Command caddy is Caddy with its standard modules and those of this project.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/klinkgate/caddy-klink"
	_ "github.com/klinkgate/caddy-klink/inbox"
)

func main() {
	caddycmd.Main()
}
