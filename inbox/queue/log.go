package queue

import (
	"context"
	"log/slog"
)

// warnings returns a logger for River, which has a line at Info for each attempt
// that fails; we have our own.
func warnings(l *slog.Logger) *slog.Logger { return slog.New(warningsOnly{l.Handler()}) }

type warningsOnly struct{ slog.Handler }

func (h warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h warningsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warningsOnly{h.Handler.WithAttrs(attrs)}
}

func (h warningsOnly) WithGroup(name string) slog.Handler {
	return warningsOnly{h.Handler.WithGroup(name)}
}
