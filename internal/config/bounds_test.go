package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse_WhatTheParserIsSlowAtIsRefused(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		require.Contains(t, strings.Join(faultsOf(t, text), "\n"), want)
	}
	f(strings.Repeat("a: b\n", keysMax+1), "agent.yaml:10001:2: has more than 10000 keys in one set")
	f("a: |\n  x\n"+strings.Repeat(" \n", blankLinesMax+1), "agent.yaml:1003:1: has more than 1000 blank lines in a row")
	f("? a\n: b\n", "agent.yaml:1:1: keys that start with `? ` are not supported")
}

func TestParse_ManyPipelines(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\noutputs:\n  out: {type: stdout}\npipelines:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "  main%d:\n    input: {type: files, include: [a.log]}\n    outputs: [out]\n    logstore: all\n    workers: 1\n    max_age: {after: 1h}\n", i)
	}
	f, err := parse(t, b.String())
	require.NoError(t, err)
	require.Len(t, f.Pipelines, 2000)
}

func TestParse_ListOfFaultsIsBounded(t *testing.T) {
	got := faultsOf(t, minimal+strings.Repeat("version: 1\n", 3000))
	require.Len(t, got, faultsMax+1)
	require.Equal(t, "agent.yaml:1008:1: and 2000 more faults from here on", got[faultsMax])
}

func BenchmarkParse(b *testing.B) {
	data := []byte(minimal)
	dir := b.TempDir()
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("agent.yaml", data, dir, testCatalog()); err != nil {
			b.Fatal(err)
		}
	}
}
