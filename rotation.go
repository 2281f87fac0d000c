package klink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/verifier"
)

// secretFilePoll is how soon a changed secret file is noticed.
const secretFilePoll = 2 * time.Second

// maxSecretFile is the largest secret file, in bytes.
const maxSecretFile = 64 << 10

// named is a name before a placeholder or a path: "new={env.NEW}".
var named = regexp.MustCompile(`^([A-Za-z0-9_-]{1,64})=(.+)$`)

// splitName returns the name of a secret and what is left; a secret without a
// name has its number, counted from 1. Before a secret only a placeholder can
// have a name: one that is written out could look like a name and a secret.
func splitName(s string, file bool, number int) (name, rest string) {
	if m := named.FindStringSubmatch(s); m != nil && (file || m[2][0] == '{') {
		return m[1], m[2]
	}
	return strconv.Itoa(number), s
}

// secretPath replaces the placeholders in a path. What they stand for is shown
// nowhere: it could be the secret, by mistake.
func secretPath(repl *caddy.Replacer, written string) (string, error) {
	if strings.Contains(written, "{file.") {
		return "", errors.New("{file.…} is a file's content: write its path alone")
	}
	path, err := repl.ReplaceOrErr(written, true, true)
	if err != nil {
		return "", fmt.Errorf(`%s holds a placeholder that is unknown, unset or empty: set it before Caddy starts, and write \{ for a brace that is meant`, written)
	}
	return path, nil
}

// readSecretFile returns the file's content without a line break at its end. Its
// errors do not show the path.
func readSecretFile(path string) (string, error) {
	content, err := readRegular(path)
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = fmt.Errorf("%w: name a file that the user that Caddy runs as can read", pathErr.Err)
	}
	if err != nil {
		return "", err
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if len(content) == 0 {
		return "", errors.New("it is empty: write the secret into it")
	}
	return string(content), nil
}

// readRegular looks before it opens: a FIFO would keep it waiting.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is a directory, a pipe or a device: name a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err == nil && len(content) > maxSecretFile {
		err = fmt.Errorf("it is larger than %d bytes: name a file that holds a secret and nothing else", maxSecretFile)
	}
	return content, err
}

// secretFile is a secret that is read anew when its file changes.
type secretFile struct {
	written string // its path as it is configured
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
	fields := []zap.Field{zap.String("endpoint", w.Name), zap.String("secret", f.name), zap.String("file", f.written)}
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
