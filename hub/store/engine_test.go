package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestEngine_RowsAreVisibleAfterFlush(t *testing.T) {
	e := openTest(t, t.TempDir())
	write(t, e, "p/web", lines{0, 100})
	require.NoError(t, e.Flush(context.Background()))
	require.Equal(t, 100, countOf(t, e, "p", "*"))
	require.Equal(t, 10, countOf(t, e, "p", "level:=error"))
	require.Equal(t, 100, countOf(t, e, "p", "took"))
}

func TestEngine_ProjectsAreIsolated(t *testing.T) {
	e := openTest(t, t.TempDir())
	write(t, e, "p/web", lines{0, 10})
	write(t, e, "q/web", lines{0, 3})
	require.NoError(t, e.Flush(context.Background()))
	require.Equal(t, 10, countOf(t, e, "p", "*"))
	require.Equal(t, 3, countOf(t, e, "q", "*"))
	require.Equal(t, 0, countOf(t, e, "r", "*"))
	require.Equal(t, 3, countOf(t, e, "q", `n:in(* | fields n)`), "subqueries stay in the project")
}

func TestEngine_QueriesSeeBothHalves(t *testing.T) {
	e := openTest(t, t.TempDir())
	ctx := context.Background()
	write(t, e, "p/web", lines{0, 50})
	settled, err := e.Seal(ctx)
	require.NoError(t, err)
	write(t, e, "p/db", lines{50, 50})
	require.NoError(t, e.Flush(ctx))
	require.Equal(t, 100, countOf(t, e, "p", "*"))
	require.NoError(t, settled(ctx))
	newest := ask(t, e, Query{Project: "p", Pipes: "| sort by (_time desc) limit 3"})
	require.Len(t, newest, 3)
	for i, row := range newest {
		require.Equal(t, fmt.Sprint(99-i), row["n"])
	}
	hits := ask(t, e, Query{Project: "p", Pipes: "| stats by (_time:1m, level) count() hits"})
	require.Len(t, hits, 4)
	facets := ask(t, e, Query{Project: "p", Pipes: "| facets 5"})
	require.NotEmpty(t, facets)
	require.Len(t, ask(t, e, Query{Project: "p", Filter: `_logstore:="db"`, LogsQL: "level:=error"}), 5)
	from := base.Add(10 * time.Second).UnixNano()
	require.Len(t, ask(t, e, Query{Project: "p", Start: from, End: from + 5*int64(time.Second)}), 5)
}

func TestEngine_SettledRowsSurviveWithoutClose(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(Options{Dir: dir, Retention: 30 * 24 * time.Hour})
	require.NoError(t, err)
	write(t, e, "p/web", lines{0, 1000})
	settled, err := e.Seal(context.Background())
	require.NoError(t, err)
	require.NoError(t, settled(context.Background()))
	n, err := e.inMemory(0)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, e.Close())
	require.Equal(t, 1000, countOf(t, openTest(t, dir), "p", "*"))
}

func TestEngine_SealWhileWriting(t *testing.T) {
	e := openTest(t, t.TempDir())
	ctx := context.Background()
	for span := range 3 {
		write(t, e, "p/web", lines{span * 100, 50})
		settled, err := e.Seal(ctx)
		require.NoError(t, err)
		var wait sync.WaitGroup
		wait.Go(func() { require.NoError(t, settled(ctx)) })
		write(t, e, "p/web", lines{span*100 + 50, 50})
		wait.Wait()
	}
	require.NoError(t, e.Flush(ctx))
	require.Equal(t, 300, countOf(t, e, "p", "*"))
}

func TestEngine_BadQueriesAreTheCallersFault(t *testing.T) {
	e := openTest(t, t.TempDir())
	for _, s := range []string{`level:(`, `"open`, `* | stats by (`, `)`} {
		_, err := askErr(e, Query{Project: "p", LogsQL: s})
		require.ErrorIs(t, err, ErrQuery, s)
	}
}

func TestEngine_EmitEndsTheQuery(t *testing.T) {
	e := openTest(t, t.TempDir())
	write(t, e, "p/web", lines{0, 1000})
	require.NoError(t, e.Flush(context.Background()))
	enough := errors.New("enough")
	n := 0
	err := e.Run(context.Background(), Query{Project: "p"}, func([]Field) error {
		n++
		if n == 10 {
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	require.Equal(t, 10, n)
}

func TestEngine_OpenReportsDamage(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(Options{Dir: dir, Retention: 30 * 24 * time.Hour})
	require.NoError(t, err)
	_, err = Open(Options{Dir: dir, Retention: 30 * 24 * time.Hour})
	require.ErrorContains(t, err, "cannot open the store")
	require.NoError(t, e.Close())
}

func TestEngine_CloseStopsItsGoroutines(t *testing.T) {
	dir := t.TempDir()
	before := goleak.IgnoreCurrent()
	e, err := Open(Options{Dir: dir, Retention: 30 * 24 * time.Hour})
	require.NoError(t, err)
	write(t, e, "p/web", lines{0, 100})
	require.NoError(t, e.Flush(context.Background()))
	require.Equal(t, 100, countOf(t, e, "p", "*"))
	require.NoError(t, e.Close())
	require.ErrorIs(t, e.Flush(context.Background()), errClosed)
	goleak.VerifyNone(t, before)
}
