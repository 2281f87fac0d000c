package inbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

const (
	modeRescue = "rescue"
	modeStore  = "store"

	defaultName           = "inbox"
	defaultDatabase       = "klink_inbox.db"
	defaultDeadline       = 8 * time.Second
	defaultGiveUp         = 72 * time.Hour
	defaultTimeout        = 60 * time.Second
	defaultConcurrency    = 8
	defaultDedupe         = 24 * time.Hour
	defaultRetention      = 7 * 24 * time.Hour
	defaultMaxStored      = 100_000
	defaultMaxStoredBytes = 1 << 30

	largestConcurrency = 1000
	// senderTimeout is how long the vendor waits for an answer.
	senderTimeout = 10 * time.Second
)

var defaultRetry = []caddy.Duration{
	caddy.Duration(5 * time.Second), caddy.Duration(30 * time.Second), caddy.Duration(2 * time.Minute),
	caddy.Duration(10 * time.Minute), caddy.Duration(time.Hour),
}

func (in *Inbox) setDefaults() {
	setDefault(&in.Name, defaultName)
	setDefault(&in.Mode, modeRescue)
	setDefault(&in.Deadline, caddy.Duration(defaultDeadline))
	setDefault(&in.GiveUp, caddy.Duration(defaultGiveUp))
	setDefault(&in.Timeout, caddy.Duration(defaultTimeout))
	setDefault(&in.Concurrency, defaultConcurrency)
	setDefault(&in.Dedupe, caddy.Duration(defaultDedupe))
	setDefault(&in.Retention, max(caddy.Duration(defaultRetention), in.Dedupe))
	setDefault(&in.MaxStored, defaultMaxStored)
	setDefault(&in.MaxStoredBytes, defaultMaxStoredBytes)
	if len(in.Retry) == 0 {
		in.Retry = defaultRetry
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// nameForm is what River lets a queue be called.
var nameForm = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)

var errName = errors.New("name: use at most 64 letters a to z, digits, and single hyphens or underscores between them")

// check refuses what is wrong in itself.
func (in *Inbox) check() error {
	if len(in.Name) > 64 || !nameForm.MatchString(in.Name) {
		return errName
	}
	if in.Mode != modeRescue && in.Mode != modeStore {
		return fmt.Errorf("mode: there is no %q: write rescue or store", in.Mode)
	}
	if in.Concurrency < 1 || in.Concurrency > largestConcurrency {
		return fmt.Errorf("concurrency: write a number from 1 to %d", largestConcurrency)
	}
	if in.MaxStored < 1 || in.MaxStoredBytes < 1 {
		return errors.New("max_stored: the number of events and the size must be above 0")
	}
	if len(in.Deliver) == 0 {
		return errors.New("there is no backend: add deliver { reverse_proxy … }")
	}
	return in.checkDurations()
}

func (in *Inbox) checkDurations() error {
	for _, option := range []struct {
		name  string
		value caddy.Duration
	}{
		{"deadline", in.Deadline},
		{"give_up", in.GiveUp},
		{"timeout", in.Timeout},
		{"dedupe", in.Dedupe},
		{"retention", in.Retention},
	} {
		if option.value <= 0 {
			return fmt.Errorf("%s: the duration must be above 0", option.name)
		}
	}
	for _, pause := range in.Retry {
		if pause <= 0 {
			return errors.New("retry: each duration must be above 0")
		}
	}
	switch {
	case time.Duration(in.Deadline) >= senderTimeout:
		return errors.New("deadline: it must be below 10s, which is how long K-LINK waits")
	case in.Mode == modeRescue && in.Timeout < in.Deadline:
		return fmt.Errorf("timeout: it must not be below deadline, which is %v", time.Duration(in.Deadline))
	case in.Retention < in.Dedupe:
		return fmt.Errorf("retention: it must not be below dedupe, which is %v: an event is known by its record", time.Duration(in.Dedupe))
	}
	return nil
}

// databaseURL returns where events are stored, with placeholders replaced.
func (in *Inbox) databaseURL() (string, error) {
	if in.Database == "" {
		folder := caddy.AppDataDir()
		if err := os.MkdirAll(folder, 0o700); err != nil { // Caddy itself makes it only once it has something to put there
			return "", fmt.Errorf("database: %w", err)
		}
		return "sqlite://" + filepath.ToSlash(filepath.Join(folder, defaultDatabase)), nil
	}
	url, err := caddy.NewReplacer().ReplaceOrErr(in.Database, true, true)
	if err != nil {
		return "", fmt.Errorf("database: %w", err)
	}
	_, err = queue.ParseURL(url)
	return url, err
}

// queueConfig is what the inbox asks of its queue.
func (in *Inbox) queueConfig() queue.Config {
	c := queue.Config{
		Name:           in.Name,
		Concurrency:    in.Concurrency,
		GiveUp:         time.Duration(in.GiveUp),
		Timeout:        time.Duration(in.Timeout),
		Dedupe:         time.Duration(in.Dedupe),
		Retention:      time.Duration(in.Retention),
		MaxStored:      in.MaxStored,
		MaxStoredBytes: in.MaxStoredBytes,
	}
	for _, pause := range in.Retry {
		c.Retry = append(c.Retry, time.Duration(pause))
	}
	return c
}
