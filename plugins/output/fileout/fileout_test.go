package fileout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/record"
)

func newOutput(t testing.TB, edit func(*Config)) *Output {
	t.Helper()
	c := Config{Path: filepath.Join(t.TempDir(), "sub", "out.log")}
	config.Defaults(&c)
	if edit != nil {
		edit(&c)
	}
	o, err := New(c, "host-1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func testBatch(lines ...string) *record.Batch {
	b := record.Get(&record.Origin{Path: `/var/log/"a".log`})
	b.ReadTime = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC).UnixNano()
	for _, line := range lines {
		b.Add([]byte(line))
	}
	return b
}

func encode(t testing.TB, o *Output, b *record.Batch) []byte {
	t.Helper()
	p, err := o.NewEncoder("pipe", "store").Encode(context.Background(), nil, b)
	require.NoError(t, err)
	return p
}

func send(t testing.TB, o *Output, s string) {
	t.Helper()
	require.NoError(t, o.Send(context.Background(), []byte(s)))
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestJSON(t *testing.T) {
	o := newOutput(t, nil)
	b := testBatch("first", "a \"quote\", a \\, a\ttab\nand \x01 and ü and \xff\xfe end")
	b.Records[0].Time = time.Date(2025, 12, 31, 23, 59, 59, 123456789, time.UTC).UnixNano()
	b.Records[1].Marks = record.InvalidUTF8 | record.Partial
	b.Records[1].Fields = append(b.Records[1].Fields,
		record.Field{Name: []byte("__time__"), Value: []byte("forged")},
		record.Field{Name: []byte("__tag__:__path__"), Value: []byte("forged")},
		record.Field{Name: []byte("__raw_log__"), Value: []byte("kept")})
	const tail = `"__tag__:__path__":"/var/log/\"a\".log","__tag__:__hostname__":"host-1",` +
		`"__tag__:__wt_pipeline__":"pipe","__tag__:__logstore__":"store"}` + "\n"
	require.Equal(t, `{"__time__":"2025-12-31T23:59:59.123456789Z","content":"first",`+tail+
		`{"__time__":"2026-01-02T03:04:05.0000006Z","content":"a \"quote\", a \\, a\ttab\nand \u0001 and ü and `+"\ufffd\ufffd"+` end",`+
		`"___time__":"forged","___tag__:__path__":"forged","__raw_log__":"kept","__marks__":"partial,invalid_utf8",`+tail,
		string(encode(t, o, b)))
}

func TestText(t *testing.T) {
	o := newOutput(t, func(c *Config) { c.Format = "text" })
	require.Equal(t, "one\n\ntwo\nlines\n", string(encode(t, o, testBatch("one", "", "two\nlines"))))
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte("content"), []byte("a \"line\"\x00 \xc3\x28 ü"), int64(0), uint16(5))
	f.Fuzz(func(t *testing.T, name, value []byte, at int64, marks uint16) {
		b := record.Get(&record.Origin{Path: string(value)})
		defer b.Release()
		r := b.Add(value)
		r.Fields = append(r.Fields, record.Field{Name: name, Value: value})
		r.Time, r.Marks = at, record.Mark(marks&63)
		e := newJSONEncoder(jsonline.Source{Host: string(name), Pipeline: "p"})
		out, err := e.Encode(context.Background(), nil, b)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(out, []byte{'\n'}))
		require.True(t, utf8.Valid(out))
		var object map[string]string
		require.NoError(t, json.Unmarshal(out, &object), "%q", out)
		require.NotEmpty(t, object["__time__"])
		require.Equal(t, strings.ToValidUTF8(string(value), "") == string(value), object["__tag__:__path__"] == string(value))
	})
}

func TestEncodeDoesNotAllocatePerRecord(t *testing.T) {
	o := newOutput(t, nil)
	for _, format := range []string{"json", "text"} {
		o.config.Format = format
		e := o.NewEncoder("pipe", "store")
		cost := func(n int) float64 {
			lines := make([]string, n)
			for i := range lines {
				lines[i] = "a \"line\" with \xff"
			}
			b := testBatch(lines...)
			defer b.Release()
			var dst []byte
			run := func() { dst, _ = e.Encode(context.Background(), dst[:0], b) }
			run()
			return testing.AllocsPerRun(50, run)
		}
		require.Equal(t, cost(1), cost(1000), format)
		require.LessOrEqual(t, cost(1000), 1.0, format)
	}
}

func TestAppendsAndOpensAgain(t *testing.T) {
	o := newOutput(t, nil)
	send(t, o, "one\n")
	send(t, o, "")
	send(t, o, "two\n")
	require.NoError(t, o.Close())
	send(t, o, "three\n")
	require.Equal(t, "one\ntwo\nthree\n", read(t, o.config.Path))
	info, err := os.Stat(o.config.Path)
	require.NoError(t, err)
	require.EqualValues(t, 0o640, info.Mode().Perm())
}

func TestATornLastLineIsEnded(t *testing.T) {
	o := newOutput(t, nil)
	send(t, o, "one\ntw")
	require.NoError(t, o.Close())
	send(t, o, "two\n")
	send(t, o, "three\n")
	require.Equal(t, "one\ntw\ntwo\nthree\n", read(t, o.config.Path))
}

func TestDevice(t *testing.T) {
	o := newOutput(t, func(c *Config) { c.Path = os.DevNull })
	send(t, o, "one\n")
	send(t, o, "two\n")
}

func TestFileMovedAway(t *testing.T) {
	o := newOutput(t, nil)
	send(t, o, "one\n")
	require.NoError(t, os.Rename(o.config.Path, o.config.Path+".moved"))
	send(t, o, "two\n")
	require.Equal(t, "one\n", read(t, o.config.Path+".moved"))
	require.Equal(t, "two\n", read(t, o.config.Path))
	require.NoError(t, os.Remove(o.config.Path))
	send(t, o, "three\n")
	require.Equal(t, "three\n", read(t, o.config.Path))
}

func TestRotation(t *testing.T) {
	o := newOutput(t, func(c *Config) { c.Rotate = Rotate{Size: 10, Keep: 2} })
	for i := range 5 {
		send(t, o, fmt.Sprintf("line %d\n", i))
	}
	require.Equal(t, "line 4\n", read(t, o.config.Path))
	require.Equal(t, "line 3\n", read(t, o.config.Path+".1"))
	require.Equal(t, "line 2\n", read(t, o.config.Path+".2"))
	require.NoFileExists(t, o.config.Path+".3")
	send(t, o, "longer than a whole file\n")
	require.Equal(t, "longer than a whole file\n", read(t, o.config.Path))
}

// fullDisk is a file whose writes stop after room bytes, and whose truncation
// may fail as well.
type fullDisk struct {
	*os.File
	room        int
	truncateErr error
}

func (f *fullDisk) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:min(len(p), f.room)])
	f.room -= n
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *fullDisk) Truncate(size int64) error {
	if f.truncateErr != nil {
		return f.truncateErr
	}
	return f.File.Truncate(size)
}

func TestFullDiskLeavesNoTornRecord(t *testing.T) {
	for _, truncateErr := range []error{nil, errors.New("not now")} {
		o := newOutput(t, nil)
		send(t, o, "one\n")
		disk := &fullDisk{File: o.file.(*os.File), room: 3, truncateErr: truncateErr}
		o.file = disk
		for range 3 {
			require.Error(t, o.Send(context.Background(), []byte("two\n")))
		}
		require.True(t, errors.Is(o.append([]byte("two\n")), syscall.ENOSPC))
		if truncateErr == nil {
			require.Equal(t, "one\n", read(t, o.config.Path))
		}
		disk.room, disk.truncateErr = 1000, nil
		send(t, o, "two\n")
		send(t, o, "three\n")
		require.Equal(t, "one\ntwo\nthree\n", read(t, o.config.Path))
	}
}

func TestStandardOutput(t *testing.T) {
	o := newOutput(t, func(c *Config) { c.Path = "-" })
	path := filepath.Join(t.TempDir(), "stdout")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	disk := &fullDisk{File: f, room: 1000}
	o.file = disk
	send(t, o, "one\n")
	disk.room = 2
	require.Error(t, o.Send(context.Background(), []byte("two\n")))
	disk.room = 1000
	send(t, o, "two\n")
	require.NoError(t, o.Close())
	send(t, o, "three\n")
	require.Equal(t, "one\ntw\ntwo\nthree\n", read(t, path))
}

func TestConcurrentSendsDoNotMix(t *testing.T) {
	o := newOutput(t, func(c *Config) { c.Rotate = Rotate{Size: 4000, Keep: 1000} })
	var senders sync.WaitGroup
	for i := range 8 {
		senders.Go(func() {
			for range 50 {
				if err := o.Send(context.Background(), bytes.Repeat([]byte{'a' + byte(i)}, 100)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	files, err := filepath.Glob(o.config.Path + "*")
	require.NoError(t, err)
	total := 0
	for _, path := range files {
		data := read(t, path)
		total += len(data)
		require.LessOrEqual(t, len(data), 4000)
		for ; len(data) >= 100; data = data[100:] {
			require.Equal(t, strings.Repeat(data[:1], 100), data[:100])
		}
	}
	require.Equal(t, 8*50*100, total)
}

func TestSendGivesUpWithItsContext(t *testing.T) {
	o := newOutput(t, nil)
	o.turn <- struct{}{} // someone else writes, for ever
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("the agent stops")
	cancel(reason)
	require.ErrorIs(t, o.Send(ctx, []byte("x\n")), reason)
	<-o.turn
}

func TestUnusablePath(t *testing.T) {
	o := newOutput(t, func(c *Config) { c.Path = t.TempDir() })
	require.Error(t, o.Send(context.Background(), []byte("x\n")))
}

func TestConfigIsChecked(t *testing.T) {
	check := func(c Config) (keys []string) {
		config.Defaults(&c)
		c.Validate(func(key, _ string) { keys = append(keys, key) })
		return keys
	}
	require.Empty(t, check(Config{}))
	require.Equal(t, []string{"rotate.size"}, check(Config{Rotate: Rotate{Size: 1}}))
	require.Equal(t, []string{"rotate.size", "rotate.keep"}, check(Config{Path: "x", Rotate: Rotate{Size: -1, Keep: -1}}))
}

func BenchmarkJSON(b *testing.B) {
	o := newOutput(b, nil)
	e := o.NewEncoder("pipe", "store")
	line := strings.Repeat(`10.0.0.1 - - "GET /api/v2/orders HTTP/1.1" 200 512 `, 10)
	batch := testBatch()
	for range 1000 {
		batch.Add([]byte(line))
	}
	var dst []byte
	b.SetBytes(int64(len(line) * 1000))
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = e.Encode(context.Background(), dst[:0], batch)
	}
}
