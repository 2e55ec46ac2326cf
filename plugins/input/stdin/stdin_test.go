package stdin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
)

// sink is a pipeline that keeps lines with their marks.
type sink struct {
	mu    sync.Mutex
	lines []string
	came  chan struct{} // holds 1: something new is there
	err   error
}

func (s *sink) emit(_ context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	for i := range d.Batch.Records {
		r := &d.Batch.Records[i]
		s.lines = append(s.lines, string(r.Raw)+"|"+string(r.Marks.AppendText(nil)))
	}
	s.mu.Unlock()
	d.Batch.Release()
	d.Done(s.err)
	select {
	case s.came <- struct{}{}:
	default:
	}
	return nil
}

// start runs an input that reads from the returned pipe.
func start(t *testing.T, s *sink, longest config.Size) (in *Input, w *os.File, stop func(), ended chan error) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	log := logrus.New()
	log.SetOutput(io.Discard)
	in = New(Config{MaxRecordSize: longest}, Env{Pipeline: "p", BatchBytes: 1000, Linger: 10 * time.Millisecond, Log: log, File: r})
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	ended = make(chan error, 1)
	go func() { ended <- in.Run(ctx, s.emit) }()
	return in, w, stop, ended
}

func TestInput_ReadsToTheEnd(t *testing.T) {
	s := &sink{came: make(chan struct{}, 1)}
	_, w, _, ended := start(t, s, 100)
	_, err := w.WriteString("one\r\ntwo\n\nthr")
	require.NoError(t, err)
	<-s.came // before the end
	_, err = w.WriteString("ee\n" + strings.Repeat("é", 60) + "\nno end")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, <-ended)
	require.Equal(t, []string{"one|", "two|", "|", "three|", strings.Repeat("é", 50) + "|split", strings.Repeat("é", 10) + "|split", "no end|"}, s.lines)
}

func TestInput_StopsWhileNothingComes(t *testing.T) {
	s := &sink{came: make(chan struct{}, 1), err: errors.New("stopped")}
	in, w, stop, ended := start(t, s, 100)
	_, err := w.WriteString("one\ntw")
	require.NoError(t, err)
	<-s.came
	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, []string{"one|", "tw|partial"}, s.lines)
	require.EqualValues(t, 2, in.Streams()[0].Dropped)
}

func FuzzSplitter(f *testing.F) {
	f.Add([]byte("one\r\ntwo\n\nthree"), 4)
	f.Fuzz(func(t *testing.T, in []byte, longest int) {
		longest = 4 + max(longest%50, 0)
		cut := func(r io.Reader) (lines []string) {
			s := splitter{max: longest}
			text := ""
			for {
				_, err := s.fill(r)
				for {
					p, ok := s.next()
					if !ok {
						break
					}
					require.LessOrEqual(t, len(p.bytes), longest)
					if text += string(p.bytes); !s.torn {
						lines, text = append(lines, text), ""
					}
				}
				if err != nil {
					return append(lines, text+string(s.rest().bytes))
				}
			}
		}
		got := cut(bytes.NewReader(in))
		require.Equal(t, got, cut(iotest.OneByteReader(bytes.NewReader(in))))
		require.Equal(t, strings.ReplaceAll(string(in), "\r", ""), strings.ReplaceAll(strings.Join(got, "\n"), "\r", ""))
	})
}

func BenchmarkSplitter(b *testing.B) {
	text := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 1000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	s := splitter{max: 1 << 20}
	for b.Loop() {
		r := bytes.NewReader(text)
		for r.Len() > 0 {
			_, _ = s.fill(r)
			for ok := true; ok; {
				_, ok = s.next()
			}
		}
	}
}
