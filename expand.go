package klink

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/caddyserver/caddy/v2"
)

var singlePlaceholder = regexp.MustCompile(`^\{(env|file)\.[^{}]+\}$`)

// expand replaces the placeholders in a secret. The errors name a placeholder
// only where nothing else is in s, which could be the secret itself.
func expand(repl *caddy.Replacer, s string) (string, error) {
	value, err := repl.ReplaceOrErr(s, true, true)
	switch {
	case err != nil && singlePlaceholder.MatchString(s):
		return "", fmt.Errorf("%s is unset or empty: set it before Caddy starts", s)
	case err != nil:
		return "", errors.New(`it holds a placeholder that is unknown, unset or empty: write \{ for a brace that is meant`)
	case value == "":
		return "", errors.New("it is empty: write a placeholder such as {env.KLINK_SECRET} or {file./run/secrets/klink}")
	}
	return value, nil
}
