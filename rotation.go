package klink

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/verifier"
)

// secretFilePoll is how soon a changed secret file is noticed.
const secretFilePoll = 2 * time.Second

// maxSecretFile is the largest secret file, in bytes.
const maxSecretFile = 64 << 10

// named is a name before a placeholder or a path: "new={env.NEW}".
var named = regexp.MustCompile(`^([A-Za-z0-9_-]{1,64})=([{/].*)$`)

// What a name may stand before: a secret that is written out could look like one.
const (
	beforePlaceholder = '{'
	beforePath        = '/'
)

// splitName returns the name of a secret and what is left, which begins with
// mark; a secret without a name has its number, counted from 1.
func splitName(s string, mark byte, number int) (name, rest string) {
	if m := named.FindStringSubmatch(s); m != nil && m[2][0] == mark {
		return m[1], m[2]
	}
	return strconv.Itoa(number), s
}

// readSecretFile returns the file's content without a line break at its end.
func readSecretFile(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	switch {
	case len(content) == 0:
		return "", fmt.Errorf("%s is empty", path)
	case len(content) > maxSecretFile:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecretFile)
	}
	return string(content), nil
}

// secretFile is a secret that is read anew when its file changes.
type secretFile struct {
	path    string
	name    string
	index   int    // among the secrets
	current string // its last good content
	broken  bool   // whether the operator has been told
}

// watch reads the files anew until ctx is done. An empty or vanished file leaves
// the last good secret in force.
func (w *Webhook) watch(ctx context.Context, files []*secretFile) {
	ticker := time.NewTicker(secretFilePoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for _, f := range files {
				w.reread(f)
			}
		}
	}
}

func (w *Webhook) reread(f *secretFile) {
	content, err := readSecretFile(f.path)
	fields := []zap.Field{zap.String("endpoint", w.Name), zap.String("secret", f.name), zap.String("file", f.path)}
	if err != nil {
		if !f.broken {
			w.logger.Warn("secret file cannot be used; the last good secret stays in force", append(fields, zap.Error(err))...)
		}
		f.broken = true
		return
	}
	f.broken = false
	if content == f.current {
		return
	}
	secret, err := verifier.NewSecret(content)
	if err != nil {
		return
	}
	f.current = content
	w.verifier.HMAC.SetSecret(f.index, secret)
	w.logger.Info("secret file has changed; its new secret is in force", fields...)
}
