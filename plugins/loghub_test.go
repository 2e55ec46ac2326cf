//go:build loghub

package plugins

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/formats"
	"github.com/wasmtail/wasmtail/internal/record"
)

// loghub are public sets of logs that were split by others. They are not part of
// this repository: WASMTAIL_LOGHUB names the folder they lie in. For each, our
// fields are put together to what a row of theirs says, because a format here may
// split finer, and theirs puts the parts of a time into columns of their own.
var loghub = []struct{ set, format, ours, theirs string }{
	{"Android", "android_logcat", "{time}|{pid}|{tid}|{level}|{component}|{message}", "{Date} {Time}|{Pid}|{Tid}|{Level}|{Component}|{Content}"},
	{"Apache", "apache_error", "{time}|{level}|{[client %s] client}{message}", "{Time}|{Level}|{Content}"},
	{"HPC", "hpc", "{id}|{node}|{component}|{state}|{time}|{flag}|{message}", "{LogId}|{Node}|{Component}|{State}|{Time}|{Flag}|{Content}"},
	{"Hadoop", "hadoop", "{time}|{level}|{thread}|{component}|{message}", "{Date} {Time}|{Level}|{Process}|{Component}|{Content}"},
	{"Linux", "syslog", "{time}|{hostname}|{program}|{pid}|{message}", "{Month} {Date} {Time}|{Level}|{Component}|{PID}|{Content}"},
	{"OpenStack", "openstack", "{file}|{time}|{pid}|{level}|{component}|{request}|{message}", "{Logrecord}|{Date} {Time}|{Pid}|{Level}|{Component}|{ADDR}|{Content}"},
	{"Windows", "windows_cbs", "{time}|{level}|{component}|{message}", "{Date} {Time}|{Level}|{Component}|{Content}"},
	{"Zookeeper", "zookeeper", "{time}|{level}|{thread}:{component}|{source_line}|{message}", "{Date} {Time}|{Level}|{Node}:{Component}|{Id}|{Content}"},
}

var (
	placeRE = regexp.MustCompile(`\{(?:(\[[^\]]*\] ))?(\w+)\}`)
	spaces  = regexp.MustCompile(` +`)
)

// fill puts values into a template; {[client %s] client} is left out where there
// is no such value.
func fill(template string, value func(name string) string) string {
	return placeRE.ReplaceAllStringFunc(template, func(place string) string {
		m := placeRE.FindStringSubmatch(place)
		v := value(m[2])
		if m[1] != "" && v != "" {
			return strings.Replace(m[1], "%s", v, 1)
		}
		return v
	})
}

// TestLoghub_IsSplitAsOthersHaveSplitIt reports the share of lines of each set
// that come out exactly as its *_structured.csv has them.
func TestLoghub_IsSplitAsOthersHaveSplitIt(t *testing.T) {
	dir := os.Getenv("WASMTAIL_LOGHUB")
	if dir == "" {
		t.Skip("set WASMTAIL_LOGHUB to the folder of the sets")
	}
	for _, c := range loghub {
		text, err := os.ReadFile(filepath.Join(dir, c.set+"_2k.log"))
		require.NoError(t, err)
		found := formats.Detect(text[:min(len(text), formats.SampleBytes)])
		require.Equal(t, c.format, found.Name, c.set)
		want := structured(t, filepath.Join(dir, c.set+"_2k.log_structured.csv"), c.theirs)
		var got []string
		newTrial(t, found.Name).each(t, string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), func(r *record.Record) {
			got = append(got, normal(fill(c.ours, func(name string) string { v, _ := r.Field(name); return string(v) })))
		})
		require.Len(t, got, len(want), c.set)
		same, shown := 0, 0
		for i := range want {
			switch {
			case got[i] == want[i]:
				same++
			case shown < 3:
				shown++
				t.Logf("%s line %d\n  ours   %q\n  theirs %q", c.set, i+1, got[i], want[i])
			}
		}
		share := 100 * float64(same) / float64(len(want))
		t.Logf("%-10s %-15s detected with %3.0f %%, %d of %d lines alike: %.2f %%", c.set, found.Name, 100*found.Confidence, same, len(want), share)
		require.GreaterOrEqual(t, share, 99.0, c.set)
	}
}

// structured returns what the rows of a set say.
func structured(t *testing.T, path, template string) (rows []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	all, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	column := map[string]int{}
	for i, name := range all[0] {
		column[name] = i
	}
	for _, row := range all[1:] {
		rows = append(rows, normal(fill(template, func(name string) string {
			at, ok := column[name]
			require.True(t, ok, name)
			return row[at]
		})))
	}
	return rows
}

// normal leaves out what the sets do not keep: runs of spaces, and those at the end.
func normal(s string) string { return strings.TrimRight(spaces.ReplaceAllString(s, " "), " ") }
