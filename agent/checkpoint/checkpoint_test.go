package checkpoint

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/internal/durable"
)

func generation(i int) string { return fmt.Sprintf("%016x", i) }

func entry(i int) Entry {
	return Entry{
		Pipeline: "p", Generation: generation(i), Path: fmt.Sprintf("/var/log/%d.log", i),
		Dev: 7, Ino: uint64(i), HeadLen: 10, Head: Sum([]byte{byte(i)}), Created: int64(-i), Size: int64(i),
	}
}

// streamed is entry for a source that is no file.
func streamed(i int) Entry {
	e := entry(i)
	e.Cursor = []byte("0")
	return e
}

func open(t require.TestingT, fs durable.FS) *Store {
	s, err := Open(fs, "/s")
	require.NoError(t, err)
	return s
}

func find(s *Store, i int) *Source {
	for _, src := range s.Sources("p") {
		if src.Entry().Generation == generation(i) {
			return src
		}
	}
	return nil
}

func nothing(int) int { return 0 }

func TestAdd_IsDurableAndSavedEntriesComeBack(t *testing.T) {
	fs := durable.NewMem()
	s := open(t, fs)
	sources, err := s.Add([]Entry{entry(1), entry(2)}, "p", "note")
	require.NoError(t, err)
	sources[0].Begin(0, 100, Sum([]byte("m")))(true)
	require.NoError(t, s.Save())
	sources[1].Begin(0, 50, Digest{})(true) // not saved
	fs.Restart(nothing)
	s = open(t, fs)
	require.NoError(t, s.Damaged())
	require.True(t, s.Noted("p", "note"))
	want := entry(1)
	want.Acked, want.Marker = 100, Sum([]byte("m"))
	require.Equal(t, want, find(s, 1).Entry())
	require.Equal(t, entry(2), find(s, 2).Entry())
	find(s, 1).Forget()
	find(s, 2).Edit(func(e *Entry) { e.Path, e.Finished, e.Format = "/moved", true, "0.9 syslog" })
	require.NoError(t, s.Close())
	s = open(t, fs)
	require.Nil(t, find(s, 1))
	require.Equal(t, "/moved", find(s, 2).Entry().Path)
	require.True(t, find(s, 2).Entry().Finished)
	require.Equal(t, "0.9 syslog", find(s, 2).Entry().Format)
}

func TestBeginCursor_TheCursorOfTheAcknowledgedPrefixIsSaved(t *testing.T) {
	fs := durable.NewMem()
	s := open(t, fs)
	sources, err := s.Add([]Entry{streamed(1)}, "p")
	require.NoError(t, err)
	a := sources[0].BeginCursor(0, 10, []byte("ten"))
	sources[0].BeginCursor(10, 20, []byte("twenty"))(true)
	require.Equal(t, "0", string(sources[0].Entry().Cursor))
	require.NoError(t, s.Save())
	fs.Restart(nothing)
	s = open(t, fs)
	require.Equal(t, "0", string(find(s, 1).Entry().Cursor))
	a(true)
	require.Equal(t, "twenty", string(sources[0].Entry().Cursor))
	find(s, 1).BeginCursor(0, 20, []byte("twenty"))(true)
	require.NoError(t, s.Save())
	fs.Restart(nothing)
	e := find(open(t, fs), 1).Entry()
	require.Equal(t, "twenty", string(e.Cursor))
	require.EqualValues(t, 20, e.Acked)
}

func TestBegin_MovesOverTheAcknowledgedPrefixOnly(t *testing.T) {
	s := open(t, durable.NewMem())
	sources, err := s.Add([]Entry{entry(1)}, "p")
	require.NoError(t, err)
	src := sources[0]
	at := func(want int64, wantOpen int) {
		t.Helper()
		acked, marker, open := src.Position()
		require.Equal(t, want, acked)
		require.Equal(t, wantOpen, open)
		if want > 0 {
			require.Equal(t, Sum([]byte{byte(want)}), marker)
		}
	}
	begin := func(start, end int64) func(bool) { return src.Begin(start, end, Sum([]byte{byte(end)})) }
	a, b, c, d := begin(0, 10), begin(10, 20), begin(20, 30), begin(30, 40)
	c(true)
	at(0, 3)
	a(true)
	at(10, 2)
	b(false) // must be read again
	at(10, 1)
	d(true)
	at(10, 0)
	begin(10, 25)(true) // read again, in other portions
	at(40, 0)
	begin(10, 20)(true)
	at(40, 0)
}

func TestEdit_ACrashLeavesNoEntryWithoutItsCursor(t *testing.T) {
	for survives := 0; ; survives++ {
		fs := durable.NewMem()
		s := open(t, fs)
		sources, err := s.Add([]Entry{streamed(2)}, "p")
		require.NoError(t, err)
		sources[0].BeginCursor(0, 7, []byte("7"))(true)
		sources[0].Edit(func(e *Entry) { e.Size++ })
		start := fs.Calls()
		fs.Fault = faultAt(start+1, true) // written, not synced
		require.Error(t, s.Save())
		fs.Fault = nil
		most := 0
		fs.Restart(func(n int) int { most = n; return min(n, survives) })
		e := find(open(t, fs), 2).Entry()
		require.Equal(t, strconv.FormatInt(e.Acked, 10), string(e.Cursor), "%d bytes of the log survive", survives)
		if survives >= most {
			require.EqualValues(t, 7, e.Acked)
			return
		}
	}
}

// faultAt fails one call, or crashes at it.
func faultAt(at int, crash bool) func(int, string, string) error {
	return func(call int, _, _ string) error {
		switch {
		case crash && call >= at:
			return durable.ErrCrashed
		case call == at:
			return errors.New("no space left on device")
		}
		return nil
	}
}

// TestModel compares the store with a map, with crashes, failing calls and
// acknowledgements in any order.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := durable.NewMem()
		s := open(t, fs)
		added := map[int]bool{}
		least, most := map[int]int64{}, map[int]int64{} // saved at least, acknowledged at most
		pick := func(n int) int { return rapid.IntRange(0, n).Draw(t, "survives") }
		number := rapid.IntRange(1, 5)
		save := func() error {
			before := map[int]int64{}
			for i := range added {
				before[i] = most[i]
			}
			err := s.Save()
			if err == nil {
				for i := range before {
					least[i] = before[i]
				}
			}
			return err
		}
		restart := func() {
			fs.Fault = nil
			fs.Restart(pick)
			s = open(t, fs)
			require.NoError(t, s.Damaged())
			require.False(t, s.Lost())
			for i := range added {
				src := find(s, i)
				require.NotNil(t, src, "generation %d is lost", i)
				acked, marker, _ := src.Position()
				require.GreaterOrEqual(t, acked, least[i])
				require.LessOrEqual(t, acked, most[i])
				if i%2 == 0 {
					require.Equal(t, strconv.FormatInt(acked, 10), string(src.Entry().Cursor))
				} else if acked > 0 {
					require.Equal(t, Sum([]byte{byte(acked)}), marker)
				}
				least[i], most[i] = acked, acked
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				i := number.Draw(t, "i")
				if added[i] {
					return
				}
				e := entry(i)
				if i%2 == 0 {
					e = streamed(i)
				}
				if _, err := s.Add([]Entry{e}, "p"); err == nil {
					added[i] = true
				}
			},
			"edit": func(*rapid.T) {
				if i := number.Draw(t, "i"); added[i] && find(s, i) != nil {
					find(s, i).Edit(func(e *Entry) { e.Size++ })
				}
			},
			"ack": func(*rapid.T) {
				i := number.Draw(t, "i")
				if !added[i] || find(s, i) == nil {
					return
				}
				end := most[i] + 1
				if i%2 == 0 {
					find(s, i).BeginCursor(most[i], end, strconv.AppendInt(nil, end, 10))(true)
				} else {
					find(s, i).Begin(most[i], end, Sum([]byte{byte(end)}))(true)
				}
				most[i] = end
			},
			"save": func(*rapid.T) { _ = save() },
			"fault": func(*rapid.T) {
				fs.Fault = faultAt(fs.Calls()+rapid.IntRange(0, 6).Draw(t, "after"), rapid.Bool().Draw(t, "crash"))
			},
			"restart": func(*rapid.T) { restart() },
		})
		restart()
	})
}

func TestSave_CrashAtEveryStepOfCompaction(t *testing.T) {
	for after := 0; ; after++ {
		fs := durable.NewMem()
		s := open(t, fs)
		sources, err := s.Add([]Entry{entry(1)}, "p")
		require.NoError(t, err)
		sources[0].Begin(0, 9, Digest{})(true)
		require.NoError(t, s.Save())
		start := fs.Calls()
		fs.Fault = func(call int, _, _ string) error {
			if call >= start+after {
				return durable.ErrCrashed
			}
			return nil
		}
		s.broken = true // the next save writes a new log
		sources[0].Begin(9, 20, Digest{})(true)
		err = s.Save()
		fs.Fault = nil
		fs.Restart(nothing)
		again := open(t, fs)
		acked, _, _ := find(again, 1).Position()
		if err == nil {
			require.EqualValues(t, 20, acked)
			return
		}
		require.Contains(t, []int64{9, 20}, acked)
		require.NoError(t, again.Damaged(), "step %d", after)
	}
}

func TestSave_GoesOnAfterAFullDisk(t *testing.T) {
	fs := durable.NewMem()
	s := open(t, fs)
	sources, err := s.Add([]Entry{entry(1)}, "p")
	require.NoError(t, err)
	var alarms []error
	s.Alarm = func(err error) { alarms = append(alarms, err) }
	full := errors.New("no space left on device")
	fs.Fault = func(_ int, op, _ string) error {
		if op == "write" || op == "create" {
			return full
		}
		return nil
	}
	sources[0].Begin(0, 10, Digest{})(true)
	for range 3 {
		require.ErrorIs(t, s.Save(), full)
	}
	_, err = s.Add([]Entry{entry(2)}, "p")
	require.ErrorIs(t, err, full)
	fs.Fault = nil
	require.NoError(t, s.Save())
	require.Len(t, alarms, 2)
	require.NoError(t, alarms[1])
	fs.Restart(nothing)
	s = open(t, fs)
	acked, _, _ := find(s, 1).Position()
	require.EqualValues(t, 10, acked)
	require.Nil(t, find(s, 2))
}

func TestOpen_DamagedFiles(t *testing.T) {
	prepare := func(t *testing.T) (*durable.Mem, []string) {
		fs := durable.NewMem()
		s := open(t, fs)
		sources, err := s.Add([]Entry{entry(1)}, "p")
		require.NoError(t, err)
		sources[0].Begin(0, 9, Digest{})(true)
		require.NoError(t, s.Save())
		s.broken = true
		sources[0].Begin(9, 20, Digest{})(true)
		require.NoError(t, s.Save())
		sources[0].Begin(20, 30, Sum([]byte("30")))(true)
		require.NoError(t, s.Close())
		return fs, []string{s.name(1), s.name(2)}
	}
	flip := func(at int) func([]byte) []byte {
		return func(p []byte) []byte { p[min(at, len(p)-1)] ^= 0x40; return p }
	}
	zero := func(p []byte) []byte { clear(p); return p }
	for _, c := range []struct {
		name    string
		current func([]byte) []byte
		prev    func([]byte) []byte
		acked   int64 // -1: nothing is known
		alarm   bool
	}{
		{"torn tail", func(p []byte) []byte { return p[:len(p)-3] }, nil, 20, false},
		{"zeros at the end", func(p []byte) []byte { return append(p[:len(p)-10], make([]byte, 4000)...) }, nil, 20, true},
		{"snapshot damaged", flip(30), nil, 9, true},
		{"filled with zeros", zero, nil, 9, true},
		{"empty", func([]byte) []byte { return nil }, nil, 9, true},
		{"both damaged", zero, zero, -1, true},
		{"both empty", func([]byte) []byte { return nil }, func([]byte) []byte { return nil }, -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, names := prepare(t)
			fs.Edit(names[1], c.current)
			if c.prev != nil {
				fs.Edit(names[0], c.prev)
			}
			s := open(t, fs)
			require.Equal(t, c.acked < 0, s.Lost())
			if c.alarm {
				require.Error(t, s.Damaged())
			} else {
				require.NoError(t, s.Damaged())
			}
			if c.acked >= 0 {
				acked, _, _ := find(s, 1).Position()
				require.Equal(t, c.acked, acked)
			}
			_, err := s.Add([]Entry{entry(3)}, "p")
			require.NoError(t, err)
			require.NotNil(t, find(open(t, fs), 3))
		})
	}
	t.Run("swapped", func(t *testing.T) {
		fs, names := prepare(t)
		require.NoError(t, fs.Rename(names[0], "/s/x"))
		require.NoError(t, fs.Rename(names[1], names[0]))
		require.NoError(t, fs.Rename("/s/x", names[1]))
		acked, _, _ := find(open(t, fs), 1).Position()
		require.EqualValues(t, 30, acked)
	})
}

func TestSave_RewritesAndKeepsTwoLogs(t *testing.T) {
	fs := durable.NewMem()
	s := open(t, fs)
	sources, err := s.Add([]Entry{entry(1)}, "p")
	require.NoError(t, err)
	for i := range int64(60_000) {
		sources[0].Begin(i, i+1, Digest{})(true)
		require.NoError(t, s.Save())
	}
	names, err := fs.List("/s")
	require.NoError(t, err)
	require.Len(t, names, 2)
	for _, name := range names {
		data, err := fs.ReadFile(filepath.Join("/s", name))
		require.NoError(t, err)
		require.Less(t, len(data), 2*compactSlack)
	}
}

func TestOpen_RealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := Open(durable.OS{}, dir)
	require.NoError(t, err)
	_, err = s.Add([]Entry{entry(1)}, "p")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s, err = Open(durable.OS{}, dir)
	require.NoError(t, err)
	require.NotNil(t, find(s, 1))
}

func FuzzDecodeLog(f *testing.F) {
	s := open(f, durable.NewMem())
	sources, err := s.Add([]Entry{entry(1), entry(2), streamed(3)}, "p", "note")
	require.NoError(f, err)
	good := s.appendSnapshotLocked(nil, 3)
	sources[0].Begin(0, 5, Digest{})(true)
	good = sources[0].appendChangeLocked(good)
	sources[2].BeginCursor(0, 5, []byte("5"))(true)
	good = sources[2].appendChangeLocked(good)
	f.Add(good)
	f.Add(appendEntry(good, &Entry{Generation: generation(8), Format: "0.9 syslog", Finished: true}))
	f.Add(appendNote(appendEntry(good, &Entry{Generation: generation(9)}), "p", "n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := decodeLog(data)
		if err == nil && !st.whole {
			t.Fatal("a log without a snapshot was accepted")
		}
		for generation, e := range st.entries {
			if raw, err := hex.DecodeString(generation); err != nil || len(raw) != 8 || e.Acked < 0 || e.HeadLen > HeadBytesMax {
				t.Fatalf("accepted a bad entry: %+v", e)
			}
		}
		// Frames are checksummed, so that mutations mostly end there: try the payload too.
		d := decoder{rest: data}
		st.change(&d)
		_ = st.snapshot(data)
	})
}

func BenchmarkSave(b *testing.B) {
	s := open(b, durable.NewMem())
	entries := make([]Entry, 10_000)
	for i := range entries {
		entries[i] = entry(i)
	}
	sources, err := s.Add(entries, "p")
	require.NoError(b, err)
	b.ReportAllocs()
	for i := range b.N {
		for k := range 100 { // of 10,000 files, 100 have changed
			sources[k].Begin(int64(i), int64(i+1), Digest{})(true)
		}
		_ = s.Save()
	}
}
