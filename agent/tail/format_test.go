package tail

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/record"
)

// firstWord takes a file whose first line begins with "record" for one of records
// that each begin so, and one that begins with "line" for one of lines.
type firstWord struct{}

var recordStart = regexp.MustCompile(`^record`)

func (d firstWord) Detect(head []byte) Format {
	word, _, _ := bytes.Cut(head, []byte(" "))
	if f, ok := d.Named(string(word)); ok && len(head) > 0 && head[len(head)-1] == '\n' {
		f.Confidence = 0.9
		return f
	}
	return Format{Name: "plain"}
}

func (firstWord) Named(name string) (Format, bool) {
	switch name {
	case "record":
		return Format{Name: name, Multiline: &Multiline{Start: recordStart, Timeout: 3 * time.Second, LinesMax: 100}}, true
	case "line", "plain":
		return Format{Name: name}, true
	}
	return Format{}, false
}

func detecting(c *Config) { c.Detector = firstWord{} }

func (r *rig) status(name string) FileStatus {
	r.t.Helper()
	for _, s := range r.tailer.status() {
		if s.Path == r.path(name) {
			return s
		}
	}
	r.t.Fatalf("no status of %s", name)
	return FileStatus{}
}

const records = "record 1\n a\n b\nrecord 2\n a\nrecord 3\n"

func TestAFileIsFramedByTheFormatItIsFoundToHave(t *testing.T) {
	r := newRig(t, dirOf(t), detecting)
	r.write("app.log", records)
	r.settle()
	require.Equal(t, []string{"record 1\n a\n b", "record 2\n a", "record 3"}, r.got.order)
	require.Equal(t, []string{"record", "record", "record"}, r.got.formats)
	s := r.status("app.log")
	require.Equal(t, "record", s.Format)
	require.InDelta(t, 0.9, s.FormatConfidence, 0)
	require.Equal(t, 1, strings.Count(r.logged.String(), "the format of the file was found"), r.logged)
	require.Contains(t, r.logged.String(), `confidence="90 %" format=record lines=6`)
}

func TestTheFirstLinesWaitForOthers(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Detector = startsAnywhere{} })
	r.write("app.log", "-- begins --\n")
	r.step(0)
	r.step(2 * time.Second)
	require.Empty(t, r.got.order)
	require.Empty(t, r.status("app.log").Format)
	r.write("app.log", records+strings.Repeat(" x\n", linesSure))
	r.step(0)
	require.Equal(t, []string{"-- begins --", "record 1\n a\n b", "record 2\n a"}, r.got.order)
	require.Equal(t, []string{"record", "record", "record"}, r.got.formats, "all go out in one format, and at once when there are enough")
	require.Equal(t, 1, strings.Count(r.logged.String(), "format="), r.logged)
	require.Zero(t, r.tailer.heldBytes.Load())
}

func TestTheFirstLinesWaitForABoundedTime(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Detector = startsAnywhere{} })
	r.write("app.log", "line 1\n")
	r.step(0)
	for i := 2; i <= 4; i++ { // it grows all the time
		r.write("app.log", lines(i, i+1))
		r.step(time.Second)
	}
	require.Len(t, r.got.order, 4)
	require.Equal(t, "line", r.status("app.log").Format)
	r.write("app.log", lines(5, 6))
	r.step(0)
	require.Len(t, r.got.order, 5, "what comes later does not wait")
}

func TestAFewLinesDecideUntilThereAreMore(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Detector = startsAnywhere{} })
	r.step(0)
	r.write("app.log", "")
	r.step(10 * time.Second)
	require.Empty(t, r.status("app.log").Format, "nothing can be said of an empty file")
	r.write("app.log", "-- begi")
	r.settle()
	require.Equal(t, []string{"-- begi"}, r.got.order)
	require.Equal(t, []string{""}, r.got.formats, "nor of half a line")
	r.write("app.log", "ns --\n")
	r.settle()
	require.Equal(t, []string{"-- begi", "ns --"}, r.got.order)
	require.Equal(t, "plain", r.status("app.log").Format)
	r.write("app.log", "record 1\n a\nrecord 2\n")
	r.settle()
	require.Equal(t, []string{"record 1\n a", "record 2"}, r.got.order[2:])
	require.Equal(t, []string{"", "plain", "record", "record"}, r.got.formats)
	require.Equal(t, 2, strings.Count(r.logged.String(), "format="), "each change is told, once: %s", r.logged)
}

func TestEnoughLinesOfAKnownFormatDecideForGood(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Detector = startsAnywhere{} })
	r.write("app.log", lines(0, linesFew))
	r.settle()
	require.Equal(t, "line", r.status("app.log").Format)
	for _, src := range r.store.Sources("p") {
		e := src.Entry()
		require.Equal(t, "0.9000 line", e.Format)
	}
	r.restart()
	r.write("app.log", records)
	r.settle()
	require.Equal(t, "line", r.status("app.log").Format)
	require.Equal(t, "line", r.got.formats[len(r.got.formats)-1])
}

func TestARestartWhileLinesWaitLosesAndRepeatsNone(t *testing.T) {
	for name, restart := range map[string]func(*rig){
		"restart": (*rig).restart, "crash": func(r *rig) { r.crash(func(n int) int { return n }) },
	} {
		r := newRig(t, dirOf(t), detecting)
		r.write("app.log", lines(0, 2))
		r.step(0)
		r.step(time.Second)
		require.Empty(t, r.got.order)
		restart(r)
		r.write("app.log", lines(2, 3))
		r.settle()
		r.wantLines(3)
		require.Equal(t, []string{"line", "line", "line"}, r.got.formats, name)
	}
}

func TestWhatWaitsOutlivesATruncation(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"truncated":       func(r *rig) { r.truncate("app.log") },
		"begun anew":      func(r *rig) { r.truncate("app.log"); r.write("app.log", "record 1\n a\n") },
		"copied":          func(r *rig) { r.copy("app.log", "app.log.1"); r.truncate("app.log") },
		"renamed":         func(r *rig) { r.rename("app.log", "app.log.1"); r.write("app.log", "record 1\n a\n") },
		"deleted":         func(r *rig) { r.remove("app.log") },
		"in many batches": func(r *rig) { r.truncate("app.log") },
	} {
		r := newRig(t, dirOf(t), func(c *Config) {
			detecting(c)
			if name == "in many batches" {
				c.BatchBytesMax = 20
			}
		})
		r.write("app.log", lines(0, 7))
		r.step(0)
		require.Empty(t, r.got.order, name)
		end(r)
		r.settle()
		for i := range r.got.order {
			require.Equal(t, map[bool]string{true: "line", false: "record"}[i < 7], r.got.formats[i], name)
		}
		if n := len(r.got.order); n > 7 {
			require.Equal(t, []string{"record 1\n a"}, r.got.order[7:], name)
			r.got.order = r.got.order[:7]
		}
		r.wantLines(7)
		require.Zero(t, r.tailer.heldBytes.Load(), name)
		require.NotContains(t, r.logged.String(), "lost", name)
	}
}

func TestFilesBeyondTheBoundDoNotWait(t *testing.T) {
	r := newRig(t, dirOf(t), detecting)
	r.tailer.heldBytes.Store(heldBytesMax - 10)
	r.write("app.log", lines(0, 2))
	r.step(0)
	r.wantLines(2)
	require.Equal(t, "line", r.status("app.log").Format)
	require.EqualValues(t, heldBytesMax-10, r.tailer.heldBytes.Load())
}

// startsAnywhere also takes a file with a line that begins with "record" for one
// of records.
type startsAnywhere struct{ firstWord }

func (d startsAnywhere) Detect(head []byte) Format {
	if i := bytes.Index(head, []byte("\nrecord")); i >= 0 {
		return d.firstWord.Detect(head[i+1:])
	}
	return d.firstWord.Detect(head)
}

func TestManyLinesWithoutAFormatAreEnough(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) { c.Detector = startsAnywhere{} })
	r.write("app.log", strings.Repeat("x\n", linesSure))
	r.settle()
	r.write("app.log", "record 1\n a\n")
	r.settle()
	require.Equal(t, " a", r.got.order[len(r.got.order)-1], "the file stays what it was said to be")
	require.Equal(t, "plain", r.status("app.log").Format)
	require.Contains(t, r.logged.String(), "its lines stay whole")
}

func TestTheFormatStaysOverARestart(t *testing.T) {
	r := newRig(t, dirOf(t), detecting)
	r.write("app.log", records+strings.Repeat(" a\n", linesSure))
	r.settle()
	r.restart()
	r.write("app.log", "record 4\n a\nrecord 5\n")
	r.settle()
	require.Equal(t, []string{"record 4\n a", "record 5"}, r.got.order[3:])
	require.Equal(t, 1, strings.Count(r.logged.String(), "the format of the file was found"), "it is not looked for again")
	s := r.status("app.log")
	require.Equal(t, "record", s.Format)
	require.InDelta(t, 0.9, s.FormatConfidence, 0)
	for _, src := range r.store.Sources("p") { // as if this version did not know it any more
		src.Edit(func(e *checkpoint.Entry) { e.Format = "0.9 gone" })
	}
	r.restart()
	r.write("app.log", "record 6\n b\n")
	r.settle()
	require.Equal(t, "record 6\n b", r.got.order[len(r.got.order)-1])
	require.Equal(t, 2, strings.Count(r.logged.String(), "the format of the file was found"), "it is looked for anew")
}

func TestTheEndOfAFileIsFramedByItsBeginning(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		detecting(c)
		c.Start = Start{Kind: StartEnd}
	})
	r.write("app.log", records)
	r.settle()
	require.Empty(t, r.got.order)
	r.write("app.log", "record 4\n a\n")
	r.settle()
	require.Equal(t, []string{"record 4\n a"}, r.got.order)
}

func TestEachGenerationIsLookedAt(t *testing.T) {
	r := newRig(t, dirOf(t), detecting)
	r.write("app.log", records)
	r.settle()
	r.rename("app.log", "app.log.1")
	r.write("app.log", lines(0, 10))
	r.settle()
	require.Equal(t, "record", r.status("app.log.1").Format)
	require.Equal(t, "line", r.status("app.log").Format)
	r.truncate("app.log")
	r.step(0)
	r.write("app.log", "other\n")
	r.settle()
	require.Equal(t, []string{"record", "record", "record"}, r.got.formats[:3], "each in its own")
	require.Equal(t, "plain", r.status("app.log").Format)
	require.Equal(t, "plain", r.got.formats[len(r.got.formats)-1])
}

func TestAMultilineOfTheInputWins(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		detecting(c)
		c.Multiline = &Multiline{Start: regexp.MustCompile(`^ b`)}
	})
	r.write("app.log", records)
	r.settle()
	require.Equal(t, []string{"record 1\n a", " b\nrecord 2\n a\nrecord 3"}, r.got.order)
	require.Equal(t, "record", r.got.formats[0])
}

func TestNULsBeforeTheLinesDoNotHideTheFormat(t *testing.T) {
	head, n := wholeLines([]byte("\x00\x00record 1\n a\nrec\x00\x00end\n"))
	require.Equal(t, "record 1\n a\n", string(head))
	require.Equal(t, 2, n)
	head, n = wholeLines([]byte("\x00\x00"))
	require.Empty(t, head)
	require.Zero(t, n)
}

func TestFrame_FindsTheFormatOfAStream(t *testing.T) {
	for text, want := range map[string][]string{
		records:          {"record|record 1\n a\n b", "record|record 2\n a", "record|record 3"},
		"line 1\nline 2": {"line|line 1", "line|line 2"},
		"line without":   {"line|line without"},
		"other\nline":    {"plain|other", "plain|line"},
		"":               nil,
		"record 1\n a\nrecord 2\n" + strings.Repeat(" x\n", 30_000): {"record|record 1\n a", "record|record 2" + strings.Repeat("\n x", 30_000)},
	} {
		var got []string
		err := Frame(Config{Detector: firstWord{}, Multiline: nil, RecordBytesMax: 1 << 20}, strings.NewReader(text), func(l *Lines) error {
			for _, line := range l.Lines {
				if len(line.Bytes) < 50_000 || line.Marks&record.Split == 0 {
					got = append(got, l.Format+"|"+string(line.Bytes))
				}
			}
			return nil
		})
		require.NoError(t, err)
		if len(text) > 50_000 {
			got, want = got[:1], want[:1]
		}
		require.Equal(t, want, got)
	}
}
