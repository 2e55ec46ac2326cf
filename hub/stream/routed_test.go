package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

func TestLedger_RoutedPartsHaveNoGaps(t *testing.T) {
	whole := Entry{Ranges: Ranges{{0, 100}}, Parsed: 3, Stored: 3}
	routed := Entry{Ranges: Ranges{{0, 20}, {60, 100}}, Parsed: 2, Stored: 2, Routed: true}
	require.Empty(t, routed.account(10).Missing)
	require.True(t, routed.account(10).Complete)
	var sum Totals
	sum.add(&whole)
	sum.add(&routed)
	require.Zero(t, sum.MissingBytes)
	require.EqualValues(t, 100, sum.ReadBytes, "bytes are read once")
	require.EqualValues(t, 5, sum.Stored)
	routed.Routed = false
	require.EqualValues(t, 40, routed.account(10).MissingBytes)
	require.False(t, routed.account(10).Complete)
}

func TestIdentify_KnowsARoutedPart(t *testing.T) {
	g := loggroup.Group{Tags: []loggroup.Pair{}}
	for key, value := range map[string]string{
		loggroup.TagAgent: testAgent, loggroup.TagGeneration: testGeneration, loggroup.TagRange: "0-10",
		loggroup.TagCounts: "0,0,0", loggroup.TagRouted: "1",
	} {
		g.Tags = append(g.Tags, loggroup.Pair{Key: []byte(key), Value: []byte(value)})
	}
	var id Identity
	require.NoError(t, Identify(&id, &g))
	require.True(t, id.Routed)
	g.Tags = g.Tags[:0]
	require.NoError(t, Identify(&id, &g))
	require.False(t, id.Routed)
}
