//go:build linux && peers

package peers

import (
	"regexp"
	"testing"
)

// TestPeers: how the agent compares with rsyslog, syslog-ng and the
// OpenTelemetry Collector.
func TestPeers(t *testing.T) {
	onlyByName(t)
	binary, packages, otel := agentPath(t), openDebian(t), collectorPath(t)
	dir := t.TempDir()
	pinSelf(t)
	var all []*measurement
	for _, w := range []workload{raw, nginx, multiline, jsonLines} {
		file := newCorpus(t, dir, w, corpusBytes(t))
		contenders := []contender{rsyslog(packages), syslogNG(packages)}
		for _, compression := range []string{"gzip", "none", "snappy", "zstd"} {
			contenders = append(contenders, collector(otel, compression))
		}
		for _, codec := range []string{"snappy", "zstd", "lz4", "none"} {
			contenders = append(contenders, agent(binary, codec))
		}
		for _, c := range contenders {
			all = append(all, &measurement{corpus: file, contender: c})
		}
	}
	peer := regexp.MustCompile(`^(rsyslog|syslog-ng|collector (gzip|none))$`)
	bars := []bar{
		{raw.name, "wasmtail snappy", regexp.MustCompile(`^collector gzip$`), 4},
		{nginx.name, "wasmtail snappy", peer, 4},
		{multiline.name, "wasmtail snappy", peer, 1.5},
		{jsonLines.name, "wasmtail snappy", peer, 3},
		{raw.name, "wasmtail none", regexp.MustCompile(`^rsyslog$`), 3},
	}
	// What else one may want to compare is shown, and nothing is required of it.
	for _, w := range []workload{raw, nginx, multiline, jsonLines} {
		for _, codec := range []string{"snappy", "zstd", "none"} {
			bars = append(bars, bar{w.name, "wasmtail " + codec, regexp.MustCompile("^collector " + codec + "$"), 0})
		}
		bars = append(bars, bar{w.name, "wasmtail none", regexp.MustCompile(`^(rsyslog|syslog-ng)$`), 0})
	}
	checkBars(t, measureAll(t, envInt(t, "PEERS_RUNS", 3), all), bars)
}
