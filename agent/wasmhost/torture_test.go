package wasmhost

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tortured builds a parser in C from the body of its parse function, and runs one
// seed over it.
func tortured(t *testing.T, body string) *TortureReport {
	t.Helper()
	dir := t.TempDir()
	source := `#include "wt.h"
static int calls;
static void setup(wt_setup *s) { wt_name(s, "bad", "1.0.0"); wt_field(s, "n", WT_INT, "a number"); }
static wt_status parse(wt_row *r, wt_str c) { (void)c; (void)calls; ` + body + ` return WT_OK; }
WT_PARSER(setup, parse)
`
	for name, text := range map[string]string{"parser.yaml": "name: bad\nversion: 1.0.0\nlanguage: c\nsource: bad.c\noutput: bad.wasm\n", "bad.c": source} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	h, _ := open(t)
	report, err := h.Torture(context.Background(), Torture{Spec: Spec{Path: module(t, dir)}, Seed: 1})
	require.NoError(t, err)
	require.Equal(t, 1, report.Rounds)
	return report
}

func TestTorture_FindsTheLineThatTraps(t *testing.T) {
	report := tortured(t, `wt_put_int(r, 0, 1); if (c.p < c.e && *c.p == 0) __builtin_trap();`)
	require.Len(t, report.Faults, 1)
	require.Equal(t, "fault", report.Faults[0].Kind)
	require.Len(t, report.Faults[0].Lines, 1)
	require.Equal(t, byte(0), report.Faults[0].Lines[0][0])
}

func TestTorture_FindsRowsThatDependOnEarlierOnes(t *testing.T) {
	report := tortured(t, `wt_put_int(r, 0, calls++);`)
	require.NotEmpty(t, report.Faults)
	require.Equal(t, "unsteady", report.Faults[0].Kind)
}

func TestTorture_FindsNothingInAGoodModule(t *testing.T) {
	onlyInFull(t)
	first := tortured(t, `wt_put_int(r, 0, c.e - c.p);`)
	require.Empty(t, first.Faults)
	require.Equal(t, tortureLines, first.Lines)
	require.Equal(t, first.round, tortured(t, `wt_put_int(r, 0, c.e - c.p);`).round)
}

func TestTorture_FindsRowsThatDependOnARetry(t *testing.T) {
	report := tortured(t, `wt_put_int(r, 0, wt__in->flags & 2);`)
	require.Len(t, report.Faults, 1)
	require.Equal(t, "unsteady", report.Faults[0].Kind)
	require.Contains(t, report.Faults[0].Error, "the flag RETRY gives other rows")
}

func TestTorture_FindsMemoryThatGrows(t *testing.T) {
	report := tortured(t, `__builtin_wasm_memory_grow(0, 32);`)
	require.Len(t, report.Faults, 1)
	require.Equal(t, "memory", report.Faults[0].Kind)
	require.Greater(t, report.MemoryLong, report.MemoryBefore)
}

func TestTorture_LetsAJoinerHaveMoreThanABatch(t *testing.T) {
	onlyInFull(t)
	dir := t.TempDir()
	source := `#include "wt.h"
static void setup(wt_setup *s) { wt_name(s, "all", "1.0.0"); wt_field(s, "n", WT_INT, "lines"); wt_caps(s, WT_CAP_JOIN); }
static void process(wt_batch *b) {
  if (!wt_final(b)) return;
  wt_row r = wt_begin(b, 0, wt_count(b));
  wt_put_int(&r, 0, wt_count(b));
  wt_end(b, &r, WT_OK);
}
WT_BATCH_PARSER(setup, process)
`
	for name, text := range map[string]string{"parser.yaml": "name: all\nversion: 1.0.0\nlanguage: c\nsource: all.c\noutput: all.wasm\n", "all.c": source} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	h, _ := open(t)
	report, err := h.Torture(context.Background(), Torture{Spec: Spec{Path: module(t, dir)}, Lines: [][]byte{bytes.Repeat([]byte("x"), 60_000)}, Seed: 1})
	require.NoError(t, err)
	require.Empty(t, report.Faults)
	// A call that cannot have all lines is told that it has them.
	trial, err := h.Try(context.Background(), Spec{Path: module(t, dir), Limits: Limits{Batch: 4 << 10}})
	require.NoError(t, err)
	defer trial.Close()
	rows, err := trial.Rows([][]byte{bytes.Repeat([]byte("x"), 3000), bytes.Repeat([]byte("y"), 3000)}, whole)
	require.NoError(t, err)
	require.Len(t, rows, 2)
}

func TestGrowsWithoutEnd(t *testing.T) {
	f := func(want bool, sizes ...int64) {
		t.Helper()
		require.Equal(t, want, growsWithoutEnd(sizes))
	}
	f(false)
	f(false, 1, 2, 3, 4, 5, 6, 7, 8)
	f(true, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4)
	f(false, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3)
}
