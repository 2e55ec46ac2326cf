package telemetry

import "context"

type wireKey struct{}

// WithWireCount returns a context in which count is told how many bytes each
// request has written to its connection. count is safe for concurrent use.
func WithWireCount(ctx context.Context, count func(bytes int64)) context.Context {
	return context.WithValue(ctx, wireKey{}, count)
}

// CountWire tells whoever asked with WithWireCount.
func CountWire(ctx context.Context, bytes int64) {
	if count, ok := ctx.Value(wireKey{}).(func(int64)); ok && bytes > 0 {
		count(bytes)
	}
}
