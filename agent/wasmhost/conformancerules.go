package wasmhost

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/wasmtail/wasmtail/sdk/abi"
)

// whole gives all lines in one batch.
func whole(left int) int { return left }

// single gives one line a batch.
func single(int) int { return 1 }

// errNoRows says why rows cannot be compared.
var errNoRows = skip("there are no rows of all lines at once to compare with")

// compare runs the lines and reports how the rows differ from those of all lines
// at once.
func (c *candidate) compare(sizes func(int) int) error {
	if c.want == nil {
		return errNoRows
	}
	got, err := c.Rows(c.lines, sizes)
	if err != nil {
		return err
	}
	return sameRows(c.want, got)
}

func (c *candidate) checkWhole() error {
	want, err := c.Rows(c.lines, whole)
	if err == nil {
		c.want = want
	}
	return err
}

func (c *candidate) checkLines() error { return c.compare(single) }

func (c *candidate) checkSplits() error {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same sizes each time
	for range 4 {
		if err := c.compare(func(left int) int { return 1 + random.IntN(min(left, 7)) }); err != nil {
			return err
		}
	}
	return nil
}

// checkInstance gives a new instance the lines in another way than the first had
// them at its start.
func (c *candidate) checkInstance() error {
	c.restart()
	return c.compare(single)
}

// withFlags compares the rows of batches with other flags.
func (c *candidate) withFlags(flags uint32) error {
	c.flags = flags
	defer func() { c.flags = 0 }()
	return c.compare(whole)
}

func (c *candidate) checkRetry() error { return c.withFlags(abi.FlagRetry) }

func (c *candidate) checkFlags() error { return c.withFlags(1<<31 | 1<<17 | 1<<4) }

// few are the first lines that are short, at most n and at least two.
func (c *candidate) few(n int) [][]byte {
	var lines [][]byte
	for _, line := range c.lines {
		if len(line) <= 4<<10 && len(lines) < n {
			lines = append(lines, line)
		}
	}
	for len(lines) < 2 {
		lines = append(lines, builtinLines[len(lines)])
	}
	return lines
}

// checkFinal gives one to four lines as all there are: they have room enough.
func (c *candidate) checkFinal() error {
	lines, n := c.few(64), 1
	for at := 0; at < len(lines); at += n {
		n = min(1+n%4, len(lines)-at)
		before := uint64(0)
		if c.parser.in != nil {
			before = c.parser.in.seq
		}
		if _, _, err := c.batch(lines[at:at+n], true); err != nil {
			return err
		}
		if calls := c.parser.in.seq - before; calls != 1 {
			return fmt.Errorf("it left lines of a batch of %d that said FINAL: %.200q; a module leaves lines only without FINAL, or when it has no room", n, lines[at:at+n])
		}
	}
	return nil
}

func (c *candidate) checkProgress() error {
	lines := c.few(8)
	if _, _, err := c.batch(lines, true); err != nil {
		return err
	}
	in, d := c.parser.in, &c.parser.d
	mark, _ := in.mem.ReadUint32Le(in.region + abi.BatchOffMark)
	last := d.rows[len(d.rows)-1].first - d.base // of the last call
	switch {
	case mark == ^uint32(0):
		return errors.New("it never writes the progress word: when it traps, the agent cannot tell which line is to blame, and tries parts of the batch until it is found")
	case int64(mark) >= int64(d.events) || int64(mark) < int64(last):
		return fmt.Errorf("after a batch of %d lines its progress word is %d, and its last row begins with event %d; write the index of an event before it is parsed", d.events, mark, last)
	}
	return nil
}

// roomLeast is what every module must do with: its rows may say that they are too
// large.
const roomLeast = abi.ErrorBytesMax

// checkRoom lets the values of a fourth of the lines fit, and then hardly any.
func (c *candidate) checkRoom() error {
	lines := c.few(256)
	if _, _, err := c.batch(lines, true); err != nil {
		return err
	}
	made := c.parser.d.copied
	if made == 0 {
		return skip("it makes no values outside of its input")
	}
	repeated := slices.Repeat(lines, 4)
	want, err := c.Rows(repeated, whole)
	if err != nil {
		return err
	}
	limit := &c.parser.m.spec.Limits.Output
	defer func(before int) { *limit = before }(*limit)
	*limit = made + roomLeast
	got, err := c.Rows(repeated, whole)
	if err == nil {
		err = sameRows(want, got)
	}
	if err != nil {
		return fmt.Errorf("with room for %d bytes of values: %w", *limit, err)
	}
	*limit = roomLeast
	if _, err := c.Rows(repeated, whole); err != nil {
		return fmt.Errorf("with room for %d bytes of values: %w", *limit, err)
	}
	return nil
}

// checkMany fills a call with lines.
func (c *candidate) checkMany() error {
	lines, room := make([][]byte, 0, eventsMax), c.spec.Limits.orDefault().Batch-eventsMax
	from := c.few(64)
	for i := 0; len(lines) < eventsMax; i++ {
		line := from[i%len(from)]
		if room -= len(line); room < 0 {
			line, room = nil, room+len(line)
		}
		lines = append(lines, line)
	}
	want, err := c.Rows(lines, func(int) int { return 64 })
	if err != nil {
		return err
	}
	got, err := c.Rows(lines, whole)
	if err != nil {
		return err
	}
	return sameRows(want, got)
}

// nonsense are configurations that no module is made for. The agent sends only
// JSON objects, but a module must not trust that.
var nonsense = []struct{ about, text string }{
	{"a list", `[]`},
	{"a text", `"x"`},
	{"an object that ends early", `{"x":`},
	{"a text that does not end", `{"x":"\u12`},
	{"no JSON", "\x00\xff}{"},
	{"10,000 lists in each other", strings.Repeat("[", 10_000)},
	{"10,000 objects in each other", strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)},
}

// checkConfig lets a module take nonsense for no settings, as the SDKs do, or
// refuse it.
func (c *candidate) checkConfig() error {
	for _, n := range nonsense {
		other := *c.program
		other.config, other.text, other.columns = []byte(n.text), nil, nil
		in, err := other.instantiate()
		var f *fault
		if errors.As(err, &f) {
			return fmt.Errorf("it fails when its configuration is %s: %s: %w; refuse it with a message", n.about, f.kind, err)
		}
		if err == nil {
			in.close()
		}
	}
	return nil
}

func (c *candidate) checkEmpty() error {
	for _, n := range []int{1, 3, 1000} {
		if _, err := c.Rows(make([][]byte, n), whole); err != nil {
			return fmt.Errorf("with %d empty lines: %w", n, err)
		}
	}
	return nil
}

func (c *candidate) checkLong() error {
	size := c.spec.Limits.orDefault().Line
	for _, seed := range [][]byte{{'a'}, {' '}, {'"'}, {'{'}, {'0'}, append(bytes.Clone(c.few(1)[0]), ' ')} {
		line := bytes.Repeat(seed, size/len(seed)+1)[:size]
		if _, err := c.Rows([][]byte{line}, single); err != nil {
			return fmt.Errorf("with a line of %d bytes made of %.40q: %w", size, seed, err)
		}
	}
	return nil
}

func (c *candidate) checkBytes() error {
	lines := [][]byte{{0}, []byte("a\x00b"), {0xff}, {0xc3}, {0xe2, 0x82}, {0xf0, 0x9f, 0x98}, {0xed, 0xa0, 0x80}, {0xfe, 0xff, 0xc0, 0x80}, []byte("\r"), []byte("\x1b[0m")}
	for _, line := range c.few(8) {
		for at := 0; at <= len(line); at += 1 + len(line)/8 {
			for _, b := range []byte{0, 0x80, 0xff} {
				lines = append(lines, append(append(bytes.Clone(line[:at]), b), line[at:]...))
			}
		}
	}
	for _, line := range lines {
		if bytes.IndexByte(line, '\n') >= 0 {
			continue
		}
		if _, err := c.Rows([][]byte{line}, single); err != nil {
			return fmt.Errorf("with the line %.200q: %w", line, err)
		}
	}
	return nil
}

// memoryBatches is how many batches an instance gets.
const memoryBatches = 4000

func (c *candidate) checkMemory() error {
	c.restart()
	lines := c.few(8)
	sizes := make([]int64, 0, memoryBatches)
	for range memoryBatches {
		if _, _, err := c.batch(lines, true); err != nil {
			return err
		}
		sizes = append(sizes, c.memory())
	}
	last := sizes[len(sizes)-1]
	if growsWithoutEnd(sizes) || last > c.spec.Limits.orDefault().Memory/4*3 {
		return fmt.Errorf("its memory grows with every batch: %d bytes after the first, %d after %d; set aside what a batch needs once, and use it again", sizes[0], last, memoryBatches)
	}
	return nil
}

func (c *candidate) checkCapabilities() error {
	if idle := c.program.Caps &^ c.used; idle != 0 {
		return note("these lines made no use of %s; declare only what rows can have", strings.Join(capabilityNames(idle), ", "))
	}
	return nil
}
