package filelog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// session is a running input and what it has emitted.
type session struct {
	mu     sync.Mutex
	lines  []string
	marks  []string
	cancel context.CancelFunc
	ended  chan struct{}
	input  *Input
}

func (s *session) emit(_ context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	for i := range d.Batch.Records {
		r := &d.Batch.Records[i]
		value, _ := r.Field(record.Content)
		s.lines = append(s.lines, string(value))
		s.marks = append(s.marks, string(r.Marks.AppendText(nil)))
	}
	s.mu.Unlock()
	d.Batch.Release()
	d.Done(nil)
	return nil
}

func (s *session) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

func (s *session) stop() {
	s.cancel()
	<-s.ended
}

func run(t *testing.T, store *checkpoint.Store, c Config) *session {
	t.Helper()
	config.Defaults(&c)
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	log := logrus.New()
	log.SetOutput(os.Stderr)
	in, err := New(c, Env{Checkpoints: store, Pipeline: "p", Linger: 20 * time.Millisecond, Log: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s := &session{cancel: cancel, ended: make(chan struct{}), input: in}
	go func() {
		defer close(s.ended)
		_ = in.Run(ctx, s.emit)
	}()
	return s
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestRun_FollowsAcrossRotationAndRestart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	store, err := checkpoint.Open(durable.OS{}, filepath.Join(dir, "state"))
	require.NoError(t, err)
	appendTo(t, path, "old\n")
	s := run(t, store, Config{Include: []string{path}, StartAt: "beginning"})
	var want []string
	expect := func(s *session) {
		t.Helper()
		require.Eventually(t, func() bool { return len(s.got()) >= len(want) }, 10*time.Second, 5*time.Millisecond)
		require.ElementsMatch(t, want, s.got())
	}
	want = []string{"old"}
	expect(s)
	for i := range 20 {
		appendTo(t, path, fmt.Sprintf("a%d\nb%d\n", i, i))
		want = append(want, fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i))
		require.NoError(t, os.Rename(path, fmt.Sprintf("%s.%d", path, i)))
		appendTo(t, path, fmt.Sprintf("c%d\n", i))
		want = append(want, fmt.Sprintf("c%d", i))
	}
	expect(s)
	require.NotEmpty(t, s.input.Status())
	s.stop()
	require.NoError(t, store.Close())
	appendTo(t, path, "while stopped\n")
	store, err = checkpoint.Open(durable.OS{}, filepath.Join(dir, "state"))
	require.NoError(t, err)
	s = run(t, store, Config{Include: []string{path}})
	want = []string{"while stopped"}
	expect(s)
	s.stop()
	require.NotEmpty(t, s.input.Status())
}

func TestRun_DecodesAndMarks(t *testing.T) {
	for _, c := range []struct {
		name, encoding, file string
		lines, marks         []string
	}{
		{"byte order mark", "utf-8", "\xef\xbb\xbfa\n\xef\xbb\xbfb\n", []string{"a", "\ufeffb"}, []string{"", ""}},
		{"invalid and NUL", "utf-8", "ok\nx\xffy\na\x00b\n", []string{"ok", "x\xffy", "a\x00b"}, []string{"", "invalid_utf8", "nul"}},
		{"gbk", "gbk", "\xc4\xe3\xba\xc3\nascii\n\xff\xff\n", []string{"你好", "ascii", "\xff\xff"}, []string{"", "", "invalid_utf8"}},
		{"line ends", "utf-8", "a\r\n\r\nb\r\r\n", []string{"a", "", "b\r"}, []string{"", "", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "app.log")
			require.NoError(t, os.WriteFile(path, []byte(c.file), 0o644))
			store, err := checkpoint.Open(durable.NewMem(), "/s")
			require.NoError(t, err)
			s := run(t, store, Config{Include: []string{path}, StartAt: "beginning", Encoding: c.encoding})
			defer s.stop()
			require.Eventually(t, func() bool { return len(s.got()) >= len(c.lines) }, 10*time.Second, 5*time.Millisecond)
			s.mu.Lock()
			defer s.mu.Unlock()
			require.Equal(t, c.lines, s.lines)
			require.Equal(t, c.marks, s.marks)
		})
	}
}

func TestValidate_AHeadNeedsAStart(t *testing.T) {
	m := Multiline{Head: "^T", Continue: "^ "}
	var keys []string
	m.Check(func(key, _ string) { keys = append(keys, key) })
	require.Equal(t, []string{"multiline.head"}, keys)
	m.Start = "^S"
	m.Check(func(key, problem string) { t.Errorf("%s %s", key, problem) })
}

func TestValidate_ReportsEveryFault(t *testing.T) {
	c := Config{
		Include: []string{"relative/*.log", "/a/[b"}, StartAt: "middle",
		Multiline: Multiline{Start: "("}, MaxRecordSize: 1,
	}
	config.Defaults(&c)
	var keys []string
	c.Validate(func(key, problem string) { keys = append(keys, key); require.NotEmpty(t, problem) })
	for _, key := range []string{"include[0]", "include[1]", "start_at", "multiline.start", "max_record_size"} {
		require.Contains(t, strings.Join(keys, " "), key)
	}
}
