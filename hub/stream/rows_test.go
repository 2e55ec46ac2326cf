package stream

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// kept stores one log and returns it as the store has it.
func kept(t *testing.T, when time.Time, contents ...string) map[string]string {
	t.Helper()
	const retention = 30 * 24 * time.Hour
	e, err := store.Open(store.Options{Dir: t.TempDir(), Retention: retention})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	w := rowBuilder{rows: store.NewRows(), retention: retention, minTime: math.MaxInt64, maxTime: math.MinInt64}
	defer w.rows.Release()
	l := loggroup.Log{Time: uint32(when.Unix()), TimeNS: uint32(when.Nanosecond())}
	for i := 0; i < len(contents); i += 2 {
		l.Contents = append(l.Contents, loggroup.Pair{Key: []byte(contents[i]), Value: []byte(contents[i+1])})
	}
	g := loggroup.Group{Logs: []loggroup.Log{l}, Tags: []loggroup.Pair{{Key: []byte("pod"), Value: []byte("a-1")}}}
	id := Identity{Project: "p", Logstore: "web", Hostname: "host1", Path: "/a.log"}
	w.begin(&id, &g, 7)
	w.log(&id, &g.Logs[0], 42, time.Now())
	require.Equal(t, 1, w.rows.Len(), "the store took it")
	require.NoError(t, e.Write(context.Background(), w.rows))
	require.NoError(t, e.Flush(context.Background()))
	got := map[string]string{}
	require.NoError(t, e.Run(context.Background(), store.Query{Project: "p"}, func(row []store.Field) error {
		for _, f := range row {
			got[strings.Clone(f.Name)] = strings.Clone(f.Value)
		}
		return nil
	}))
	require.NotEmpty(t, got)
	return got
}

func TestRows_Message(t *testing.T) {
	now := time.Now()
	got := kept(t, now, "content", "the line")
	require.Equal(t, "the line", got["_msg"])
	require.Equal(t, "content", got[FieldMoved])
	require.Equal(t, "42", got[FieldOffset])
	require.Equal(t, "7", got[FieldSeq])
	require.Equal(t, "a-1", got["__tag__:pod"])
	got = kept(t, now, "level", "info", "message", "hello")
	require.Equal(t, "hello", got["_msg"])
	require.Equal(t, "hello", got["message"])
	got = kept(t, now, "a", "1", "b", "two words", "c", "")
	require.Equal(t, `a=1 b="two words" c=""`, got["_msg"])
	require.NotContains(t, got, "c")
	got = kept(t, now, "__raw_log__", "bad line", "__error__", "regex: no match")
	require.Equal(t, "bad line", got["_msg"])
}

func TestRows_RecordsCannotForgeTheHubsFields(t *testing.T) {
	got := kept(t, time.Now(),
		"_time", "1970-01-01T00:00:00Z", "_logstore", "other", "__hostname__", "evil", "__wt_offset__", "9", "_stream", "{}", "_msg", "x",
		"twice", "1", "twice", "2", strings.Repeat("k", 300), "long")
	require.Equal(t, "web", got["_logstore"])
	require.Equal(t, "host1", got["__hostname__"])
	require.Equal(t, "42", got["__wt_offset__"])
	require.Equal(t, "other", got["log._logstore"])
	require.Equal(t, "evil", got["log.__hostname__"])
	require.Equal(t, "9", got["log.__wt_offset__"])
	require.Equal(t, "1", got["twice"])
	require.Equal(t, "2", got["twice__2"])
	require.Equal(t, "long", got[strings.Repeat("k", store.NameBytesMax)])
}

func TestRows_TimesOutsideOfTheRetentionAreKept(t *testing.T) {
	for _, when := range []time.Time{time.Unix(1, 0), time.Now().Add(-400 * 24 * time.Hour), time.Now().Add(72 * time.Hour)} {
		got := kept(t, when, "content", "line")
		require.Equal(t, when.UTC().Truncate(time.Nanosecond).Format(time.RFC3339Nano), got[FieldEventTime])
		at, err := time.Parse(time.RFC3339Nano, got["_time"])
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Minute)
	}
}

func TestRows_WhatIsTooLargeIsCutNotLost(t *testing.T) {
	got := kept(t, time.Now(), "content", strings.Repeat("x", 5<<20))
	require.Less(t, len(got["_msg"]), store.RowBytesMax)
	require.True(t, strings.HasSuffix(got["_msg"], cutSuffix))
	require.Equal(t, "cut", got["__marks__"])

	got = kept(t, time.Now(), "message", strings.Repeat("x", 1500<<10), "a", "1")
	require.Len(t, got["message"], 1500<<10, "the copy goes first")
	require.NotContains(t, got, "_msg")

	var many []string
	for i := range 2500 {
		many = append(many, "k"+string(rune('a'+i%26))+strings.Repeat("z", i/26), "v")
	}
	got = kept(t, time.Now(), many...)
	require.Contains(t, got, "__more__")
}

func FuzzIdentify(f *testing.F) {
	f.Add("a", "g", "0-30", "AAIC", "FA", "3,0,0", 3)
	f.Add("a", "g", "-", "", "", ",,", 0)
	f.Fuzz(func(t *testing.T, agent, generation, span, offsets, ends, counts string, logs int) {
		if logs < 0 || logs > 1000 {
			return
		}
		g := loggroup.Group{Logs: make([]loggroup.Log, logs)}
		for k, v := range map[string]string{
			loggroup.TagAgent: agent, loggroup.TagGeneration: generation, loggroup.TagRange: span, loggroup.TagOffsets: offsets, loggroup.TagEnds: ends, loggroup.TagCounts: counts,
		} {
			g.Tags = append(g.Tags, loggroup.Pair{Key: []byte(k), Value: []byte(v)})
		}
		id := Identity{Project: "p", Logstore: "l"}
		if err := Identify(&id, &g); err != nil {
			require.ErrorIs(t, err, ErrTags)
			return
		}
		if !id.HasRange {
			return
		}
		require.Less(t, id.Start, id.End)
		require.Len(t, id.Offsets, logs)
		e := extents{id: &id}
		for i, o := range id.Offsets {
			require.GreaterOrEqual(t, o, id.Start)
			require.Less(t, o, id.End)
			require.LessOrEqual(t, e.of(i)[1], id.End)
		}
	})
}
