package inbox

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// queueLog is where River and the queue log: warnings and errors only, since
// River has a line at a lower level for every attempt that fails.
func queueLog(logger *zap.Logger) slog.Handler {
	return warnings{zapslog.NewHandler(logger.Core(), zapslog.WithName(logger.Name()))}
}

// warnings drops what is below the level Warn.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
