package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReasonsAreDocumented holds the table of the documents to the reasons.
func TestReasonsAreDocumented(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "why.md"))
	require.NoError(t, err)
	var want strings.Builder
	seen := map[string]bool{}
	for _, r := range reasonTexts {
		require.False(t, seen[string(r.code)], r.code)
		seen[string(r.code)] = true
		require.NotEmpty(t, r.meaning)
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", r.code, r.meaning, r.fix)
	}
	require.Contains(t, string(document), "\n|---|---|---|\n"+want.String(), "write this table into docs/why.md")
}

func TestGapsAreWhatTheSpansLack(t *testing.T) {
	for _, c := range []struct {
		spans    []span
		from, to int64
		want     []span
	}{
		{nil, 0, 10, []span{{0, 10}}},
		{nil, 10, 10, nil},
		{[]span{{0, 10}}, 0, 10, nil},
		{[]span{{5, 8}, {0, 3}}, 0, 10, []span{{3, 5}, {8, 10}}},
		{[]span{{0, 6}, {4, 8}}, 0, 10, []span{{8, 10}}},
		{[]span{{0, 2}, {20, 30}}, 5, 10, []span{{5, 10}}},
		{[]span{{0, 20}}, 5, 10, nil},
		{[]span{{7, 20}}, 5, 10, []span{{5, 7}}},
	} {
		require.Equal(t, c.want, gaps(c.spans, c.from, c.to), "%v %d-%d", c.spans, c.from, c.to)
	}
}

func TestCountFindsLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	long := strings.Repeat("x", 300<<10) // more than a buffer
	require.NoError(t, os.WriteFile(path, []byte("a\n"+long+"\n\nlast"), 0o600))
	end := int64(2 + len(long) + 1 + 1 + 4)
	c, err := count(path, []int64{end - 1, 0, 1, 2, int64(len(long)), int64(len(long)) + 2, int64(len(long)) + 3})
	require.NoError(t, err)
	require.Equal(t, end, c.bytes)
	require.EqualValues(t, 4, c.lines)
	n := int64(len(long))
	require.Equal(t, map[int64]int64{0: 1, 1: 1, 2: 2, n: 2, n + 2: 2, n + 3: 3, end - 1: 4}, c.at)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	c, err = count(path, nil)
	require.NoError(t, err)
	require.Zero(t, c.lines+c.bytes)
}
