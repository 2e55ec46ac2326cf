package tail

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

// The model test does random things to a log file and its rotated siblings, and
// lets the tailer look at random moments. The model knows every line, and which
// of them the tailer may miss: those that nobody could have seen.

// modelLine is one line: text, or two pieces that were written apart.
type modelLine struct {
	head, rest string // rest is "" if written at once
	complete   bool
	excused    bool // it need not be delivered
}

// content is what was written to one file between its creation or truncation and
// its end.
type content struct {
	number int
	lines  []*modelLine
	seen   bool // the tailer had a look while its file was there
	fresh  int  // lines[fresh:] were not there at the last look

	file    int  // the file it was written to
	copied  int  // how many lines the copy has that it lives in, if it was copied away
	settled bool // the tailer had a look since
	repeats bool // it may be delivered twice
}

func (c *content) excuse(from int) {
	for _, l := range c.lines[min(from, len(c.lines)):] {
		l.excused = true
	}
}

const bannerText = "banner: the same in every file, as many programs write one when they start, with version and options"

type model struct {
	*rapid.T
	r       *rig
	banner  int
	all     []*content
	current *content   // app.log, nil if absent
	rotated []*content // app.log.1 first
	open    []*content // deleted, but the tailer had seen them
	next    int
	files   int
	repeats bool // records may be delivered twice
}

func (m *model) create() *content {
	m.next++
	m.files++
	c := &content{number: m.next, file: m.files, settled: true}
	m.all = append(m.all, c)
	for range m.banner {
		m.r.write("app.log", bannerText+"\n")
	}
	if m.banner == 0 {
		m.r.write("app.log", "")
	}
	return c
}

func (m *model) appendLines() {
	if m.current == nil {
		m.current = m.create()
	}
	c := m.current
	m.finishPartial(c)
	for range rapid.IntRange(1, 30).Draw(m.T, "lines") {
		l := &modelLine{head: fmt.Sprintf("content %d line %d %s", c.number, len(c.lines), strings.Repeat("x", len(c.lines)*7%60)), complete: true}
		c.lines = append(c.lines, l)
		m.r.write("app.log", l.head+"\n")
	}
}

// finishPartial completes the last line of c, which is app.log.
func (m *model) finishPartial(c *content) {
	if n := len(c.lines); n > 0 && !c.lines[n-1].complete {
		l := c.lines[n-1]
		l.rest, l.complete = fmt.Sprintf("rest of content %d line %d", c.number, n-1), true
		m.r.write("app.log", l.rest+"\n")
		c.fresh = min(c.fresh, n-1)
	}
}

func (m *model) appendPartial() {
	if m.current == nil {
		m.current = m.create()
	}
	c := m.current
	m.finishPartial(c)
	l := &modelLine{head: fmt.Sprintf("content %d piece %d", c.number, len(c.lines))}
	c.lines = append(c.lines, l)
	m.r.write("app.log", l.head)
}

// keepMax is how many rotated files are kept.
const keepMax = 4

func (m *model) shift() {
	if len(m.rotated) == keepMax {
		oldest := m.rotated[keepMax-1]
		m.r.remove(fmt.Sprintf("app.log.%d", keepMax))
		m.rotated = m.rotated[:keepMax-1]
		m.gone(oldest)
	}
	for i := len(m.rotated); i > 0; i-- {
		m.r.rename(fmt.Sprintf("app.log.%d", i), fmt.Sprintf("app.log.%d", i+1))
	}
}

// gone notes that a file was deleted.
func (m *model) gone(c *content) {
	if !c.seen {
		c.excuse(0)
		return
	}
	m.open = append(m.open, c)
}

func (m *model) rotate() {
	if m.current == nil {
		return
	}
	m.shift()
	m.r.rename("app.log", "app.log.1")
	m.rotated = append([]*content{m.current}, m.rotated...)
	m.current = nil
	if rapid.Bool().Draw(m.T, "create") {
		m.current = m.create()
	}
}

func (m *model) copyTruncate() {
	c := m.current
	if c == nil || len(c.lines) == 0 {
		return
	}
	m.shift()
	m.r.copy("app.log", "app.log.1")
	copied := len(c.lines)
	if !c.lines[copied-1].complete {
		copied--
	}
	looked := rapid.Bool().Draw(m.T, "look between")
	if looked {
		m.look(rapid.SampledFrom([]time.Duration{0, 200 * time.Millisecond}).Draw(m.T, "pause"))
		if rapid.Bool().Draw(m.T, "write between") {
			m.appendLines()
			c.excuse(copied) // what is written after the copy is lost, unless read
			if rapid.Bool().Draw(m.T, "look after") {
				m.look(200 * time.Millisecond)
			}
		}
	}
	m.truncateInPlace(c)
	c.seen, c.copied, c.settled = looked, copied, false
	m.rotated = append([]*content{c}, m.rotated...)
}

// truncateInPlace makes app.log empty; sometimes it grows again at once.
func (m *model) truncateInPlace(c *content) {
	m.r.truncate("app.log")
	m.next++
	m.current = &content{number: m.next, file: c.file, seen: c.seen, settled: true}
	m.all = append(m.all, m.current)
	for range m.banner {
		m.r.write("app.log", bannerText+"\n")
	}
}

func (m *model) truncate() {
	c := m.current
	if c == nil {
		return
	}
	if !m.r.got.hold {
		c.excuse(c.fresh)
	} else {
		c.excuse(0)
	}
	if !c.seen {
		c.excuse(0)
	}
	m.truncateInPlace(c)
	m.open = append(m.open, c)
}

func (m *model) remove() {
	if m.current == nil {
		return
	}
	m.r.remove("app.log")
	m.gone(m.current)
	m.current = nil
}

func (m *model) look(d time.Duration) {
	m.r.step(d)
	for _, c := range append(append([]*content(nil), m.rotated...), m.current) {
		if c != nil {
			c.seen, c.settled = true, true
			if m.r.deaf && int64(d) < quietLongest {
				continue // it need not have been asked for its size
			}
			c.fresh = len(c.lines)
			if n := len(c.lines); n > 0 && !c.lines[n-1].complete {
				c.fresh--
			}
		}
	}
}

// undecidable reports whether a tailer that starts now cannot know that c was
// delivered. Its file was copied away and truncated, which the tailer has not
// seen, so it must recognise the copy by what the checkpoint says of the original:
// its first bytes, and those before the position. It cannot if the copy does not
// reach the position; and if that is less than a marker covers, it does not if
// the file is gone of which it would be the copy.
func (m *model) undecidable(c *content) bool {
	if c.settled {
		return false
	}
	delivered := map[string]bool{}
	for _, text := range m.r.got.order {
		delivered[text] = true
	}
	bytes, n := m.banner*(len(bannerText)+1), 0
	for i, l := range c.lines {
		switch {
		case delivered[l.head+l.rest]:
			bytes, n = bytes+len(l.head+l.rest)+1, i+1
		case delivered[l.head]:
			bytes, n = bytes+len(l.head), i+1
		}
	}
	gone := m.current == nil || m.current.file != c.file
	return n > c.copied || gone && bytes < checkpoint.MarkerBytesMax
}

func (m *model) restart() {
	m.repeats = m.repeats || len(m.r.got.open) > 0 // not acknowledged
	for _, c := range m.rotated {
		c.repeats = c.repeats || m.undecidable(c)
	}
	m.r.got.open = nil
	m.r.stop()
	for _, c := range m.open {
		c.excuse(0)
	}
	m.open = nil
	m.r.begin()
	m.look(0)
}

func (m *model) crash() {
	m.repeats = true
	m.r.crash(func(n int) int { return rapid.IntRange(0, n).Draw(m.T, "survives") })
	for _, c := range m.open {
		c.excuse(0)
	}
	m.open = nil
	m.look(0)
}

func (m *model) holdAcks() { m.r.got.hold = true }

func (m *model) releaseAcks() {
	ok := rapid.IntRange(0, 3).Draw(m.T, "refused") > 0
	if !ok && len(m.r.got.open) > 0 {
		m.repeats = true
		for _, c := range m.open {
			c.excuse(0) // truncated: it cannot be read again
		}
	}
	m.r.got.hold = false
	m.r.got.release(ok)
	if !ok {
		m.look(0)
		m.look(2 * time.Second) // the pause before reading again is over
	}
}

func (m *model) verify() {
	m.r.got.hold = false
	m.r.got.release(true)
	for range 8 {
		m.look(3 * time.Second)
	}
	count := map[string]int{}
	for _, text := range m.r.got.order {
		count[text]++
	}
	for _, c := range m.all {
		for i, l := range c.lines {
			whole, pieces := count[l.head+l.rest], min(count[l.head], count[l.rest])
			if l.rest == "" {
				pieces = 0
			}
			if l.complete && !l.excused && whole+pieces == 0 {
				m.Fatalf("content %d line %d was not delivered: %q\n%s\n%v", c.number, i, l.head+l.rest, m.r.logged, m.r.tailer.status())
			}
			if !m.repeats && !c.repeats && whole+pieces > 1 {
				m.Fatalf("content %d line %d was delivered %d times: %q\n%s", c.number, i, whole+pieces, l.head+l.rest, m.r.logged)
			}
			delete(count, l.head+l.rest)
			delete(count, l.head)
			delete(count, l.rest)
		}
	}
	delete(count, bannerText)
	for text := range count {
		m.Fatalf("delivered what was not written: %q", text)
	}
	m.checkOrder()
}

// checkOrder demands that without repeats the records of a generation come in
// the order of the file, without gaps or overlaps.
func (m *model) checkOrder() {
	if m.repeats {
		return
	}
	for generation, records := range m.r.got.records {
		for i := 1; i < len(records); i++ {
			if records[i].offset < records[i-1].offset+records[i-1].size {
				m.Fatalf("generation %s: record at %d after %d", generation, records[i].offset, records[i-1].offset)
			}
		}
	}
}

func runModel(t *rapid.T, dir string) {
	dir, err := os.MkdirTemp(dir, "model")
	require.NoError(t, err)
	m := &model{T: t, banner: rapid.SampledFrom([]int{0, 0, 1, 20}).Draw(t, "banner")}
	pattern := rapid.SampledFrom([]string{"app.log", "app.log*"}).Draw(t, "include")
	m.r = newRig(t, dir, func(c *Config) {
		c.Include = []string{filepath.Join(dir, pattern)}
		c.Readers = rapid.IntRange(1, 2).Draw(t, "readers")
		if rapid.Bool().Draw(t, "formats are looked for") {
			c.Detector = firstWord{}
		}
		if rapid.Bool().Draw(t, "small batches") {
			c.BatchBytesMax = 300
		}
	})
	defer func() { m.r.tailer.stop() }()
	m.r.deaf = rapid.IntRange(0, 3).Draw(t, "hints are lost") == 0
	m.look(0)
	wait := func(*rapid.T) {
		m.look(rapid.SampledFrom([]time.Duration{0, 50 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 6 * time.Second, 70 * time.Second}).Draw(t, "wait"))
	}
	t.Repeat(map[string]func(*rapid.T){
		"append":   func(*rapid.T) { m.appendLines() },
		"append2":  func(*rapid.T) { m.appendLines() },
		"partial":  func(*rapid.T) { m.appendPartial() },
		"rotate":   func(*rapid.T) { m.rotate() },
		"copy":     func(*rapid.T) { m.copyTruncate() },
		"truncate": func(*rapid.T) { m.truncate() },
		"remove":   func(*rapid.T) { m.remove() },
		"look":     wait,
		"look2":    wait,
		"restart":  func(*rapid.T) { m.restart() },
		"crash":    func(*rapid.T) { m.crash() },
		"hold":     func(*rapid.T) { m.holdAcks() },
		"release":  func(*rapid.T) { m.releaseAcks() },
	})
	m.verify()
}

// modelTime bounds the programs of an ordinary run; who asks for a number of them
// with -rapid.checks gets it.
const modelTime = 15 * time.Second

// TestModel runs other programs every time. A failure names its seed, for
// -rapid.seed.
func TestModel(t *testing.T) {
	dir := dirOf(t)
	checks := flag.Lookup("rapid.checks")
	bounded := checks == nil || checks.Value.String() == checks.DefValue
	begun := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		if bounded && time.Since(begun) > modelTime {
			return
		}
		runModel(t, dir)
	})
}
