package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wasmtail/wasmtail/internal/realserver"
)

// TestEveryOutputGetsEverything: one file goes through all outputs that people have
// already, to real servers where there are some. The server dies, and then the agent
// does, with lines that nobody has taken.
func TestEveryOutputGetsEverything(t *testing.T) {
	t.Parallel()
	logs := realserver.VictoriaLogs(t)
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "store"))
	require.NoError(t, err)
	defer brokers.Close()
	w := newWriter(t)
	a := newAgentIn(t, t.TempDir(), "127.0.0.1:1", fmt.Sprintf(`  p:
    input: {type: files, include: [%q], start_at: beginning}
    processors: [{type: regex, pattern: '^(?P<n>\d+) (?P<text>.*)'}]
    outputs: [elasticsearch, loki, http, otlp, kafka]
    logstore: store
`, w.path))
	text, err := os.ReadFile(a.config)
	require.NoError(t, err)
	outputs := fmt.Sprintf(`outputs:
  elasticsearch: {type: elasticsearch, url: "%[1]s/insert/elasticsearch", headers: {VL-Time-Field: "@timestamp", VL-Msg-Field: text, VL-Extra-Fields: via=elasticsearch}}
  loki: {type: loki, url: "%[1]s/insert", headers: {VL-Extra-Fields: via=loki, VL-Msg-Field: text}}
  http: {type: http, url: "%[1]s/insert/jsonline", query: {_time_field: time, _msg_field: text, extra_fields: via=http}}
  otlp: {type: otlp, url: "%[1]s/insert/opentelemetry", headers: {VL-Extra-Fields: via=otlp, VL-Msg-Field: text}}
  kafka: {type: kafka, brokers: ["%[2]s"]}
`, logs.URL, strings.Join(brokers.ListenAddrs(), `", "`))
	require.NoError(t, os.WriteFile(a.config, []byte(strings.Replace(string(text), "outputs:\n", outputs, 1)), 0o600))
	a.start(t)
	acknowledged := func() bool {
		s, err := a.status()
		require.NoError(t, err)
		for _, f := range s.Pipelines[0].Files {
			if f.Lag > 0 || f.Acked == 0 {
				return false
			}
		}
		return len(s.Pipelines[0].Files) > 0
	}
	w.write(3000)
	a.eventually("the lines are acknowledged", acknowledged)
	logs.Settle()
	logs.Kill()
	w.write(2000)
	a.eventually("the outputs say that the server is away", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		away := 0
		for _, o := range s.Outputs {
			if o.Error != "" {
				away++
			}
		}
		return away == 4
	})
	a.kill()
	w.write(1000)
	logs.Start()
	a.start(t)

	for _, via := range []string{"elasticsearch", "loki", "http", "otlp"} {
		count := func(what string) int {
			rows := logs.Query(`via:=` + via + ` | stats ` + what + ` n`)
			require.Len(t, rows, 1)
			n, err := strconv.Atoi(rows[0]["n"])
			require.NoError(t, err)
			return n
		}
		a.eventually(via+" has everything", func() bool { return count("count_uniq(n)") == w.lines })
		require.LessOrEqual(t, count("count()"), w.lines+2000, "only what was under way when the agent died may be there twice: %s", via)
	}
	requireTopic(t, brokers, w.lines)
}

// requireTopic requires that each line is in the topic, and the first of each in
// order.
func requireTopic(t *testing.T, brokers *kfake.Cluster, lines int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...), kgo.ConsumeTopics("store"), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for next := 0; next < lines; {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%d of %d lines are in the topic", next, lines)
		for _, r := range fetches.Records() {
			_, after, found := strings.Cut(string(r.Value), `"n":"`)
			require.True(t, found, "%s", r.Value)
			n, err := strconv.Atoi(after[:8])
			require.NoError(t, err)
			require.LessOrEqual(t, n, next, "a line is missing before it")
			next = max(next, n+1)
		}
	}
}
