package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func parseWhole(t *testing.T, text string) *File {
	t.Helper()
	return parseWholeIn(t, text, t.TempDir())
}

func parseWholeIn(t *testing.T, text, dir string) *File {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cr3t-value\n"), 0o600))
	f, err := Parse("agent.yaml", []byte(text), dir, testCatalog())
	require.NoError(t, err)
	return f
}

func TestDump_IsReadBackAndMasksSecrets(t *testing.T) {
	f := parseWhole(t, whole)
	var out strings.Builder
	require.NoError(t, f.Dump(&out))
	require.NotContains(t, out.String(), "s3cr3t")
	require.Contains(t, out.String(), "access_key_secret: \"***\"\n")
	require.Contains(t, out.String(), "timeout: 2d\n")
	require.Contains(t, out.String(), "memory: 256MiB\n")
	again, err := Parse("dump.yaml", []byte(out.String()), t.TempDir(), testCatalog())
	require.NoError(t, err, out.String())
	again.Outputs["hub"].Config.(*hubConfig).Key = "s3cr3t-value"
	f.origins, again.origins = nil, nil
	require.Equal(t, f, again)
}

func TestExplain_NamesTheOriginOfEachValue(t *testing.T) {
	t.Setenv("WASMTAIL_TEST_LEVEL", "warn")
	f := parseWhole(t, strings.Replace(whole, "{level: debug}", `{level: "${env:WASMTAIL_TEST_LEVEL}"}`, 1))
	var out strings.Builder
	require.NoError(t, f.Explain(&out))
	for _, want := range []string{
		"level: warn # agent.yaml:4 ${env:WASMTAIL_TEST_LEVEL}\n",
		"format: auto # default\n",
		"timeout: 2d # agent.yaml:10\n",
		"access_key_secret: \"***\" # agent.yaml:9 ${file:./secret}\n",
		"workers: 1 # default\n",
	} {
		require.Contains(t, out.String(), want)
	}
	_, err := Parse("explain.yaml", []byte(out.String()), t.TempDir(), testCatalog())
	require.NoError(t, err)
}

func TestSecret_IsNeverPrinted(t *testing.T) {
	type holder struct {
		S Secret
		P *Secret
	}
	s := Secret("hunter22")
	j, err := json.Marshal(holder{s, &s})
	require.NoError(t, err)
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", holder{S: s}, holder{S: s}, holder{S: s}), fmt.Sprint(errors.New(s.String())), string(j),
	} {
		require.NotContains(t, text, "hunter22")
		require.NotContains(t, text, "68756e74657232")
		require.Contains(t, text, "***")
	}
	require.Empty(t, Secret("").String())
	require.Equal(t, "hunter22", s.Reveal())
}

func TestHash_ChangesWithWhatThePipelineDoes(t *testing.T) {
	dir := t.TempDir()
	base := parseWholeIn(t, whole, dir)
	p, hub := base.Pipelines["nginx"], base.Outputs["hub"]
	same := parseWholeIn(t, "# a comment\n"+whole, dir)
	p2, hub2 := same.Pipelines["nginx"], same.Outputs["hub"]
	require.Equal(t, p.Hash(), p2.Hash())
	require.Equal(t, hub.Hash(), hub2.Hash())
	require.Len(t, p.Hash(), 32)
	for _, edit := range [][2]string{
		{"after: 1h", "after: 2h"},
		{"$1'", "$2'"},
		{"logstore: nginx", "logstore: other"},
		{"      - {type: noop}\n", ""},
		{"max_age:", "workers: 2\n    max_age:"},
	} {
		changed := parseWhole(t, strings.Replace(whole, edit[0], edit[1], 1)).Pipelines["nginx"]
		require.NotEqual(t, p.Hash(), changed.Hash(), edit)
	}
	hub.Config.(*hubConfig).Key = "another"
	require.NotEqual(t, hub.Hash(), hub2.Hash(), "a new secret is a change")
}

func TestSize_RoundTrip(t *testing.T) {
	f := func(text string, want Size) {
		t.Helper()
		got, err := ParseSize(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("0", 0)
	f("1", 1)
	f("256MiB", 256*MiB)
	f("256 MiB", 256*MiB)
	f("20MB", 20_000_000)
	f("1.5GiB", 1536*MiB)
	f("1kB", 1000)
	f("7B", 7)
	for _, text := range []string{"", "-1", "MiB", "1.2.3MiB", "1XB", "0.1B", "9999999999999GiB", "1e3", "1.", ".5MiB", "+1", "99999999999999999999"} {
		_, err := ParseSize(text)
		require.Error(t, err, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Size(rapid.Int64Min(0).Draw(t, "size"))
		back, err := ParseSize(s.String())
		if err != nil || back != s {
			t.Fatalf("%d is written %q and read as %d, %v", int64(s), s.String(), int64(back), err)
		}
	})
}

func TestDuration_RoundTrip(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		got, err := ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("0", 0)
	f("10s", 10*time.Second)
	f("2d", 48*time.Hour)
	f("1d12h", 36*time.Hour)
	f("0.5d", 12*time.Hour)
	f("1h30m", 90*time.Minute)
	for _, text := range []string{"", "d", "10", "-1s", "+1s", "1d-1h", "1dd", "999999d", "106751d9999h", "1 s", "soon", "1d2", "NaN"} {
		_, err := ParseDuration(text)
		require.Error(t, err, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Min(0).Draw(t, "duration"))
		if rapid.Bool().Draw(t, "round") {
			d = d.Truncate(time.Minute)
		}
		back, err := ParseDuration(formatDuration(d))
		if err != nil || back != d {
			t.Fatalf("%d is written %q and read as %d, %v", d, formatDuration(d), back, err)
		}
	})
}

func TestDefaults(t *testing.T) {
	c := hubConfig{Retries: 9, TLS: &tlsConfig{}}
	Defaults(&c)
	require.Equal(t, 9, c.Retries)
	require.Equal(t, 10*time.Second, c.Timeout)
	require.Equal(t, 4*MiB, c.Buffer)
	require.True(t, c.Compress)
	require.Equal(t, "1.2", c.TLS.Min)
	require.Panics(t, func() { Defaults(c) })
	require.Panics(t, func() {
		Defaults(&struct {
			N int `yaml:"n" default:"x"`
		}{})
	})
}
