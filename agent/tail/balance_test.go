package tail

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
)

// bookkeeper is a Sink that counts as the pipeline does.
type bookkeeper struct {
	open []func(bool)
	hold bool
}

func (b *bookkeeper) Lines(_ context.Context, l *Lines, done func(bool)) error {
	ledger, bytes, size := l.Origin.Ledger, int64(0), l.End-l.Start
	for _, line := range l.Lines {
		bytes += line.Size
	}
	ledger.Framed.Add(len(l.Lines), bytes)
	ledger.Parsed.Add(len(l.Lines), size)
	finish := func(ok bool) {
		if ok {
			ledger.Sent.Add(len(l.Lines), size)
			ledger.Acked.Add(len(l.Lines), size)
		}
		done(ok)
	}
	if b.hold {
		b.open = append(b.open, finish)
		return nil
	}
	finish(true)
	return nil
}

func (r *rig) read(to Sink) {
	r.t.Helper()
	for range 4 {
		r.now = r.now.Add(2 * time.Second)
		r.tailer.tick()
		for r.tailer.readers[0].step(context.Background(), to) {
			continue
		}
	}
	r.tailer.tick()
}

func TestBalance_HoldsWhateverHappens(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	b := &bookkeeper{}
	r.write("app.log", lines(0, 10)+"part")
	r.read(b)
	r.rename("app.log", "app.log.1")
	r.write("app.log", "\x00\x00\x00"+lines(10, 20)) // a hole
	r.read(b)
	b.hold = true
	r.write("app.log", lines(20, 30))
	r.read(b)
	for _, s := range r.tailer.status() {
		require.Empty(t, s.Mismatch, "while something is under way")
	}
	for _, done := range b.open {
		done(false)
	}
	b.open, b.hold = nil, false
	r.read(b)
	r.truncate("app.log")
	r.write("app.log", lines(30, 35))
	r.read(b)
	for _, s := range r.tailer.status() {
		require.Empty(t, s.Mismatch)
		require.Equal(t, s.Size, s.Acked)
	}
	require.NotContains(t, r.logged.String(), "does not add up")
	r.restart()
	r.write("app.log", lines(35, 40))
	r.read(b)
	s := statusOf(r, r.path("app.log"))
	require.EqualValues(t, 5, s.Framed)
	require.Equal(t, int64(len(lines(35, 40))), s.AcknowledgedBytes)
	require.Empty(t, s.Mismatch)
}

func TestBalance_AWrongSumIsToldOnce(t *testing.T) {
	r := newRig(t, dirOf(t), nil)
	defer func() { r.stop() }()
	b := &bookkeeper{}
	r.write("app.log", lines(0, 10))
	r.read(b)
	for _, g := range r.tailer.byID {
		g.origin.Ledger.Filtered.Add(1, 0) // a bug
	}
	r.now = r.now.Add(time.Minute)
	r.read(b)
	s := statusOf(r, r.path("app.log"))
	require.Equal(t, "10 records were framed and 0 added by modules, but 11 were parsed, failed or filtered", s.Mismatch)
	r.write("app.log", lines(10, 12))
	r.read(b)
	require.Equal(t, s.Mismatch, statusOf(r, r.path("app.log")).Mismatch)
	require.Equal(t, 1, strings.Count(r.logged.String(), "does not add up"))
}

func TestUnequal_NamesTheSum(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(l *record.Ledger)
		want   string
	}{
		{"right", func(*record.Ledger) {}, ""},
		{"split by a module", func(l *record.Ledger) { l.Parsed.Add(3, 0); l.Reshaped.Add(3) }, ""},
		{"filtered and failed", func(l *record.Ledger) {
			l.Framed.Add(2, 0)
			l.Filtered.Add(1, 0)
			l.Failed.Add(1, 0)
			l.Sent.Add(2, 0)
			l.Acked.Add(2, 0)
		}, ""},
		{"a lost record", func(l *record.Ledger) { l.Framed.Add(1, 0) }, "11 records were framed and 0 added by modules, but 10"},
		{"not given to an output", func(l *record.Ledger) { l.Sent.Add(-1, 0) }, "10 records and 100 bytes were framed and read, but 9 and 100 given"},
		{"acknowledged too early", func(l *record.Ledger) { l.Acked.Add(1, 0) }, "10 records were framed, but 11 acknowledged"},
		{"bytes without a record", func(l *record.Ledger) { l.Filtered.Add(0, 1) }, "100 bytes were read, but 101 were parsed"},
		{"bytes not acknowledged", func(l *record.Ledger) { l.Acked.Add(0, -1) }, "100 bytes were read, but 99 acknowledged"},
		{"bytes framed twice", func(l *record.Ledger) { l.Framed.Add(0, 1) }, "100 bytes were read, but 101 framed"},
	} {
		l := &record.Ledger{}
		for _, tally := range []*record.Tally{&l.Framed, &l.Parsed, &l.Sent, &l.Acked} {
			tally.Add(10, 100)
		}
		c.change(l)
		got := unequal(l, 100)
		require.Truef(t, strings.HasPrefix(got, c.want) && (got == "") == (c.want == ""), "%s: %q", c.name, got)
	}
	require.Empty(t, unequal(&record.Ledger{}, 100), "a sink that does not count")
}
