package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// lines frames lines, in small batches.
func lines(r io.Reader, emit func(*record.Batch) error) error {
	return tail.Frame(tail.Config{BatchBytesMax: 100}, r, func(l *tail.Lines) error {
		b := record.Get(l.Origin)
		b.Start, b.End = l.Start, l.End
		for _, line := range l.Lines {
			r := b.Add(line.Bytes)
			r.Offset, r.Size = line.Offset, line.Size
		}
		return emit(b)
	})
}

// TestRun_GoesOnWhereItWasAcknowledged ends runs at every batch, with acknowledgements
// that come late, not at all, or not in order, and a crash that forgets what was not
// saved: each line has the same place each time, and all come.
func TestRun_GoesOnWhereItWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) Part {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "%s %06d\n", name, i)
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
		return Part{Path: path, Generation: fmt.Sprintf("%016x", n), Size: int64(text.Len())}
	}
	one, two := write("one", 100), write("two", 60)
	two.To = 30 * 11 // half of it
	fs := durable.NewMem()
	places := map[string]int64{} // by line
	ended := false
	for stopAt := 1; !ended; stopAt = stopAt%7 + 1 {
		store, err := checkpoint.Open(fs, "/s")
		require.NoError(t, err)
		in := New(Config{Parts: []Part{one, two}, Frame: lines, Failed: func(path string, err error) { t.Errorf("%s: %v", path, err) }}, store, "p")
		ctx, cancel := context.WithCancelCause(t.Context())
		batches := 0
		var late []func(error)
		err = in.Run(ctx, func(ctx context.Context, d pipeline.Delivery) error {
			if batches++; batches > stopAt {
				cancel(errors.New("killed"))
				return context.Cause(ctx)
			}
			for i := range d.Batch.Records {
				r := &d.Batch.Records[i]
				if at, seen := places[string(r.Raw)]; seen {
					require.Equal(t, at, r.Offset, "%s has another place than before", r.Raw)
				}
				places[string(r.Raw)] = r.Offset
			}
			d.Batch.Release()
			if batches == 1 && stopAt > 1 && stopAt%2 == 1 {
				late = append(late, d.Done)
				return nil
			}
			d.Done(nil)
			for _, done := range late {
				done(nil)
			}
			late = nil
			return nil
		})
		for _, done := range late {
			done(errors.New("stopped"))
		}
		ended = err == nil
		if ended {
			<-in.Done()
			require.NoError(t, in.Err())
			p := in.Progress()
			require.EqualValues(t, one.Size+two.To, p.Acked)
			require.Zero(t, p.Rest)
		}
		cancel(nil)
		if stopAt%3 != 0 {
			require.NoError(t, store.Save())
		}
		fs.Restart(func(int) int { return 0 })
	}
	require.Len(t, places, 130)
	for line, at := range places {
		require.Zero(t, at%11)
		require.Equal(t, fmt.Sprintf("%06d", at/11), line[4:])
	}
}

func TestRun_AFileThatCannotBeReadDoesNotStopTheOthers(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	require.NoError(t, os.WriteFile(good, []byte("a\nb\n"), 0o600))
	bad := filepath.Join(dir, "bad.gz")
	require.NoError(t, os.WriteFile(bad, []byte("no gzip"), 0o600))
	store, err := checkpoint.Open(durable.NewMem(), "/s")
	require.NoError(t, err)
	var failed []string
	in := New(Config{
		Parts:  []Part{{Path: bad, Generation: "0000000000000001"}, {Path: good, Generation: "0000000000000002"}, {Path: good + "x", Generation: "0000000000000003"}},
		Frame:  lines,
		Failed: func(path string, _ error) { failed = append(failed, path) },
	}, store, "p")
	got := 0
	require.NoError(t, in.Run(t.Context(), func(_ context.Context, d pipeline.Delivery) error {
		got += len(d.Batch.Records)
		d.Batch.Release()
		d.Done(nil)
		return nil
	}))
	require.Equal(t, 2, got)
	require.Equal(t, []string{bad, good + "x"}, failed)
	require.ErrorContains(t, in.Err(), "bad.gz")
}
