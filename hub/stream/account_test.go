package stream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStream_DoubleBytesAreCountedOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newStopped(t, dir, nil)
	require.False(t, r.publish(batch(t, 0, 10)))
	require.True(t, r.publish(batch(t, 0, 10)), "before the first is in the ledger")
	r.run()
	r.waitFor(10)
	r.publish(batch(t, 5, 15)) // a half of it
	r.waitFor(15)
	require.Eventually(t, func() bool { return r.entry().DoubleBytes == 150 }, 10*time.Second, 10*time.Millisecond)
	r.stop()

	r = openRig(t, dir, nil)
	for range 5 { // a server that is slow to answer makes the ledger be read again, as it was saved last
		require.Eventually(t, func() bool {
			require.True(t, r.publish(batch(t, 0, 15)), "known to the ledger")
			return r.entry().DoubleBytes == 300
		}, 10*time.Second, 10*time.Millisecond)
		r.stop() // nothing but a repeated batch is to be saved
		if r = openRig(t, dir, nil); r.entry().DoubleBytes == 300 {
			break
		}
	}
	e := r.entry()
	require.EqualValues(t, 300, e.DoubleBytes)
	require.EqualValues(t, 3, e.Repeated)
	require.EqualValues(t, 15, e.Stored)
	require.Equal(t, Ranges{{0, 150}}, e.Ranges)
}

// A hub that is killed has saved what came twice a second before.
func TestStream_DoubleBytesAreSavedWithoutNewMessages(t *testing.T) {
	t.Parallel()
	r := openRig(t, t.TempDir(), nil)
	r.publish(batch(t, 0, 10))
	r.waitFor(10)
	require.True(t, r.publish(batch(t, 0, 10)))
	require.Eventually(t, func() bool {
		saved := newLedger()
		keys, err := r.stream.bus.ledger.Keys(context.Background())
		require.NoError(t, err)
		for _, key := range keys {
			kv, err := r.stream.bus.ledger.Get(context.Background(), key)
			require.NoError(t, err)
			require.NoError(t, saved.load(key, kv.Value()))
		}
		totals := saved.page(everything).Totals
		return totals.DoubleBytes == 100
	}, 10*time.Second, 50*time.Millisecond)
}

func TestAccount_SaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name  string
		entry Entry
		max   int
		want  Account
	}{
		{"nothing", Entry{}, 9, Account{Complete: true}},
		{
			"all",
			Entry{Ranges: Ranges{{0, 10}}, Parsed: 1, Failed: 1, Stored: 2},
			9,
			Account{End: 10, ReadBytes: 10, Complete: true},
		},
		{
			"begun later",
			Entry{Ranges: Ranges{{5, 10}}},
			9,
			Account{Start: 5, End: 10, ReadBytes: 5, Complete: true},
		},
		{
			"a gap",
			Entry{Ranges: Ranges{{0, 10}, {12, 20}}},
			9,
			Account{End: 20, ReadBytes: 18, MissingBytes: 2, Missing: Ranges{{10, 12}}},
		},
		{
			"a record too few",
			Entry{Ranges: Ranges{{0, 10}}, Parsed: 2, Stored: 1},
			9,
			Account{End: 10, ReadBytes: 10},
		},
		{
			"more ranges than asked for",
			Entry{Ranges: Ranges{{0, 10}, {12, 20}, {30, 31}}},
			2,
			Account{End: 31, ReadBytes: 19, MissingBytes: 12, Missing: Ranges{{10, 12}}, Truncated: true},
		},
	} {
		got := c.entry.account(c.max)
		c.want.Entry = c.entry
		c.want.Ranges = c.entry.Ranges[:min(len(c.entry.Ranges), c.max)]
		if c.want.Missing == nil {
			c.want.Missing = Ranges{}
		}
		require.Equal(t, c.want, got, c.name)
	}
}

func TestPage_IsBounded(t *testing.T) {
	l := newLedger()
	for i := range 50 {
		id := Identity{Project: "p", Logstore: "web", Agent: "a", Generation: fmt.Sprintf("%016x", i), Path: fmt.Sprintf("/%02d.log", i), HasRange: true}
		for at := range int64(4) { // four ranges, three gaps of 10 bytes
			id.Start, id.End = at*20, at*20+10
			l.record(&id, uint64(i*4)+uint64(at)+1, time.Unix(int64(i), 0), outcome{parsed: 1, stored: 1})
		}
	}
	all := everything
	all.RangesMax = 1000
	p := l.page(all)
	require.Len(t, p.Accounts, 50)
	require.False(t, p.Truncated)
	require.EqualValues(t, 1500, p.Totals.MissingBytes)

	page := all
	page.Offset, page.Limit = 45, 3
	p = l.page(page)
	require.Len(t, p.Accounts, 3)
	require.Equal(t, "/45.log", p.Accounts[0].Path)
	require.Equal(t, 50, p.Count)
	require.True(t, p.Truncated)
	require.EqualValues(t, 1500, p.Totals.MissingBytes, "sums are of all")
	page.Offset = 48
	require.False(t, l.page(page).Truncated)
	page.Offset = 100
	require.Empty(t, l.page(page).Accounts)

	few := all
	few.RangesMax = 6
	p = l.page(few)
	require.True(t, p.Truncated)
	require.Len(t, p.Accounts[0].Ranges, 4)
	require.Len(t, p.Accounts[1].Ranges, 2)
	require.True(t, p.Accounts[1].Truncated)
	require.EqualValues(t, 30, p.Accounts[1].MissingBytes)
	require.Empty(t, p.Accounts[2].Ranges)
}

// BenchmarkPage asks for a page of a ledger of 100,000 generations.
func BenchmarkPage(b *testing.B) {
	l := newLedger()
	for i := range 100_000 {
		id := Identity{Project: "p", Logstore: "web", Agent: "a", Generation: fmt.Sprintf("%016x", i), Path: fmt.Sprintf("/%02d.log", i), HasRange: true, End: 10}
		l.record(&id, uint64(i+1), time.Unix(int64(i), 0), outcome{parsed: 1, stored: 1})
	}
	for b.Loop() {
		l.page(Selection{Keep: func(*Entry) bool { return true }, Limit: 1000, RangesMax: 32 << 10})
	}
}
