package journald

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/durable"
)

const patience = 20 * time.Second

// sink is a pipeline that keeps fields, and says at once what became of a batch.
type sink struct {
	mu      sync.Mutex
	records []map[string]string
	refuse  int // so many batches come back
}

func (s *sink) emit(_ context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	var err error
	if s.refuse > 0 {
		s.refuse--
		err = errors.New("the output is away")
	} else {
		for i := range d.Batch.Records {
			r := &d.Batch.Records[i]
			fields := map[string]string{"marks": string(r.Marks.AppendText(nil)), "at": time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano)}
			for _, f := range r.Fields {
				fields[string(f.Name)] = string(f.Value)
			}
			s.records = append(s.records, fields)
		}
	}
	s.mu.Unlock()
	d.Batch.Release()
	d.Done(err)
	return nil
}

func (s *sink) messages() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		list = append(list, r["message"])
	}
	return list
}

// rig is an input that runs.
type rig struct {
	t    *testing.T
	in   *Input
	stop func()
}

func start(t *testing.T, store *checkpoint.Store, c Config, s *sink) *rig {
	t.Helper()
	config.Defaults(&c)
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	log := logrus.New()
	log.SetOutput(io.Discard)
	in := New(c, Env{Pipeline: "p", Checkpoints: store, BatchBytes: 2000, Linger: 10 * time.Millisecond, Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, s.emit) }()
	r := &rig{t: t, in: in}
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(r.t, "in vain waited until "+what, "%+v", r.in.Streams())
		}
	}
}

func openStore(t *testing.T, fs durable.FS) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(fs, "/s")
	require.NoError(t, err)
	return s
}

// journal is a real one, in a folder of its own.
type journal struct {
	t     *testing.T
	dir   string
	files int
}

func newJournal(t *testing.T) *journal { return &journal{t: t, dir: t.TempDir()} }

// add appends entries, from an export of a journal.
func (j *journal) add(entries ...string) {
	j.t.Helper()
	var export strings.Builder
	for _, e := range entries {
		export.WriteString("_BOOT_ID=0123456789abcdef0123456789abcdef\n_MACHINE_ID=0123456789abcdef0123456789abcdef\n" + e + "\n\n")
	}
	j.files++
	cmd := exec.Command("/usr/lib/systemd/systemd-journal-remote", "-o", filepath.Join(j.dir, "test.journal"), "-")
	cmd.Stdin = strings.NewReader(export.String())
	out, err := cmd.CombinedOutput()
	require.NoError(j.t, err, "install systemd-journal-remote: %s", out)
}

// entry is one with a number, a second after the one before.
func entry(n int, more string) string {
	return fmt.Sprintf("__REALTIME_TIMESTAMP=%d\nMESSAGE=message %d%s", 1700000000000000+n*1000000, n, more)
}

func TestInput_GoesOnWhereItWas(t *testing.T) {
	j, s, store := newJournal(t), &sink{}, openStore(t, durable.NewMem())
	j.add(entry(0, "\nPRIORITY=4\nSYSLOG_FACILITY=3\n_SYSTEMD_UNIT=a.service\nSYSLOG_IDENTIFIER=app\n_COMM=comm\n_PID=12\n_HOSTNAME=h\nX=1\nX=2\nY=no"), entry(1, ""))
	c := Config{Directory: j.dir, StartAt: "beginning", Fields: []string{"X"}}
	r := start(t, store, c, s)
	r.until("both are there", func() bool { return len(s.messages()) == 2 })
	require.Equal(t, map[string]string{
		"at": "2023-11-14T22:13:20Z", "marks": "", "message": "message 0", "severity": "warning", "facility": "daemon", "unit": "a.service", "program": "app",
		"pid": "12", "hostname": "h", "X": s.records[0]["X"],
	}, s.records[0])
	require.Contains(t, []string{"1\n2", "2\n1"}, s.records[0]["X"])
	j.add(entry(2, ""))
	r.until("the third is, too", func() bool { return len(s.messages()) == 3 })
	r.stop()
	j.add(entry(3, ""))
	r = start(t, store, c, s)
	r.until("only the fourth follows", func() bool { return len(s.messages()) == 4 })
	require.Equal(t, []string{"message 0", "message 1", "message 2", "message 3"}, s.messages())
}

func TestInput_BeginsAtTheEnd(t *testing.T) {
	j, s := newJournal(t), &sink{}
	j.add(entry(0, ""))
	r := start(t, openStore(t, durable.NewMem()), Config{Directory: j.dir}, s)
	r.until("it knows the end", r.in.Ready)
	j.add(entry(1, ""))
	r.until("the second is there", func() bool { return len(s.messages()) == 1 })
	require.Equal(t, []string{"message 1"}, s.messages())
}

func TestInput_FiltersAndTakesBytes(t *testing.T) {
	j, s := newJournal(t), &sink{}
	long := strings.Repeat("x", 100_000)
	j.add(entry(0, "\nPRIORITY=3\nKIND=a"), entry(1, "\nPRIORITY=4"),
		"__REALTIME_TIMESTAMP=1700000009000000\nKIND=a\nMESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00a\xff\nbc", entry(3, long+"\nKIND=a"))
	r := start(t, openStore(t, durable.NewMem()), Config{Directory: j.dir, StartAt: "beginning", Matches: []string{"KIND=a"}, Fields: []string{"*"}}, s)
	r.until("they are there", func() bool { return len(s.messages()) == 3 })
	require.ElementsMatch(t, []string{"message 0", "a\xff\nbc", "message 3" + long}, s.messages())
	for _, found := range s.records {
		require.Equal(t, "a", found["KIND"])
		require.Equal(t, found["message"] == "a\xff\nbc", found["marks"] == "invalid_utf8")
	}
}

func TestInput_ReadsAgainWhatCameBack(t *testing.T) {
	j, s := newJournal(t), &sink{refuse: 1}
	j.add(entry(0, ""), entry(1, ""))
	r := start(t, openStore(t, durable.NewMem()), Config{Directory: j.dir, StartAt: "beginning"}, s)
	r.until("both are there", func() bool { return len(s.messages()) == 2 })
	require.Equal(t, []string{"message 0", "message 1"}, s.messages())
}

// double is a journalctl that shows an entry, and ends with an error. It writes down
// how it was called.
func double(t *testing.T) (program, calls string) {
	t.Helper()
	program, calls = filepath.Join(t.TempDir(), "journalctl"), filepath.Join(t.TempDir(), "calls")
	text := `#!/bin/sh
n=$(wc -l < "` + calls + `" 2>/dev/null || echo 0)
echo "$*" >> "` + calls + `"
echo "{\"__CURSOR\":\"s=$n\",\"MESSAGE\":\"call $n\"}"
echo "it is broken" >&2
exit 3
`
	require.NoError(t, os.WriteFile(program, []byte(text), 0o700))
	return program, calls
}

func TestInput_StartsAgainWhatEnds(t *testing.T) {
	program, calls := double(t)
	s := &sink{}
	r := start(t, openStore(t, durable.NewMem()), Config{Journalctl: program, StartAt: "beginning", Units: []string{"a.service"}}, s)
	r.until("it was called three times", func() bool { return len(s.messages()) >= 3 })
	require.Equal(t, []string{"call 0", "call 1", "call 2"}, s.messages()[:3])
	r.until("the status says why", func() bool { return strings.Contains(r.in.Streams()[0].Error, "it is broken") })
	text, err := os.ReadFile(calls)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	require.NotContains(t, lines[0], "--after-cursor")
	require.Contains(t, lines[0], "--unit=a.service --follow --no-tail")
	require.Contains(t, lines[1], "--after-cursor=s=0")
	require.Contains(t, lines[2], "--after-cursor=s=1")
}

func TestInput_SaysWhatToDoWithoutJournalctl(t *testing.T) {
	for _, program := range []string{"no-such-journalctl", "/no/such/journalctl"} {
		r := start(t, openStore(t, durable.NewMem()), Config{Journalctl: program}, &sink{})
		r.until("the status says so", func() bool {
			l := r.in.Streams()
			return len(l) == 1 && strings.Contains(l[0].Error, "install it with systemd, give its path as journalctl")
		})
		r.stop()
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"__CURSOR":"s=1","MESSAGE":[97,255,10],"PRIORITY":"6","X":["a",[1,2]],"__REALTIME_TIMESTAMP":"1700000000000000","N":null}`))
	f.Add([]byte(`{"__CURSOR":"s=1","MESSAGE":{"a":[300,-1,1e9]}}`))
	f.Add([]byte(`no entry`))
	f.Fuzz(func(t *testing.T, line []byte) {
		s := &sink{}
		stream, err := intake.Open(intake.Config{Pipeline: "p", Name: "journald", BatchBytes: 1 << 20, Emit: s.emit})
		require.NoError(t, err)
		b := stream.Batcher(0)
		e := reader{all: true}
		e.add(b, line)
		require.Equal(t, 1, b.Records())
		require.NoError(t, b.Flush(t.Context(), nil, nil))
		if s.records[0]["marks"] == "failed" {
			require.Equal(t, string(line), s.records[0]["content"])
		}
	})
}

func FuzzLineReader(f *testing.F) {
	f.Add([]byte("one\ntwo\n\nthree\nfourteen bytes\nx\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		cut := func(r io.Reader) (got []string, lost int64) {
			l := lineReader{max: 8}
			for {
				_, err := l.fill(r)
				for line, ok := l.next(); ok; line, ok = l.next() {
					got = append(got, string(line))
				}
				if err != nil {
					return got, l.lost
				}
			}
		}
		var want []string
		var lost int64
		lines := bytes.Split(in, []byte("\n"))
		for _, line := range lines[:len(lines)-1] {
			switch {
			case len(line) > 8:
				lost++
			case len(line) > 0:
				want = append(want, string(line))
			}
		}
		for _, r := range []io.Reader{bytes.NewReader(in), iotest.OneByteReader(bytes.NewReader(in))} {
			got, over := cut(r)
			require.Equal(t, want, got)
			require.Equal(t, lost, over)
		}
	})
}

func BenchmarkEntry(b *testing.B) {
	stream, err := intake.Open(intake.Config{Pipeline: "p", Name: "journald", BatchBytes: 512 << 10, Emit: func(_ context.Context, d pipeline.Delivery) error {
		d.Batch.Release()
		d.Done(nil)
		return nil
	}})
	require.NoError(b, err)
	batcher := stream.Batcher(0)
	e := reader{}
	line := []byte(`{"__CURSOR":"s=1","MESSAGE":"hello","PRIORITY":"6","_SYSTEMD_UNIT":"a.service","SYSLOG_IDENTIFIER":"app","_PID":"12","__REALTIME_TIMESTAMP":"1700000000000000"}`)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		e.add(batcher, line)
		if batcher.Full() {
			if err := batcher.Flush(b.Context(), nil, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}
