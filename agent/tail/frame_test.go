package tail

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
)

// frameAll frames data as a reader does that sees portions of the sizes given by
// next, until all is seen; then the end is flushed.
func frameAll(f *framer, data []byte, next func() int, flush bool) (records []got) {
	var st frameState
	pos, seen := 0, 0
	take := func(flush bool) bool {
		n := f.frame(&st, data[pos:seen], int64(pos), flush)
		for _, l := range f.lines {
			records = append(records, got{string(l.Bytes), l.Offset, l.Size, l.Marks})
		}
		pos += n
		return n > 0
	}
	for seen < len(data) {
		seen = min(len(data), seen+max(1, next()))
		for take(false) {
		}
	}
	for flush && take(true) {
	}
	return records
}

// simpleLines is what framing of single lines means, said in the plainest way.
func simpleLines(data []byte, recordMax int) (records []got) {
	for pos := 0; pos < len(data); {
		end := bytes.IndexByte(data[pos:], '\n')
		if end < 0 {
			return records // incomplete: pieces of it are not compared
		}
		line := data[pos : pos+end]
		size := end + 1
		split := len(line) > recordMax
		for len(line) > recordMax {
			cut := recordMax
			start := cut
			for start > 0 && cut-start < utf8.UTFMax && !utf8.RuneStart(line[start]) {
				start--
			}
			if start > 0 && cut-start < utf8.UTFMax && !utf8.FullRune(line[start:cut]) {
				cut = start // a character begins before the cut and goes on after it
			}
			records = append(records, got{string(line[:cut]), int64(pos), int64(cut), record.Split})
			pos, size, line = pos+cut, size-cut, line[cut:]
		}
		l := got{strings.TrimSuffix(string(line), "\r"), int64(pos), int64(size), 0}
		if split {
			l.marks = record.Split
		}
		if l.text != "" || !split {
			records = append(records, l)
		}
		pos += size
	}
	return records
}

func FuzzFrame_Lines(f *testing.F) {
	f.Add([]byte("a\nbb\r\n\n"), uint8(3), uint8(2))
	f.Add([]byte("äöü€\U0001F600äöü\nx"), uint8(5), uint8(1))
	f.Add([]byte("0123456789\n0123456789\r\n\r\n\xff\xfe\xff\xff\xff\n"), uint8(4), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, recordMax, portion uint8) {
		fr := &framer{recordMax: int(recordMax)%40 + 1, batchMax: 64}
		all := frameAll(fr, data, func() int { return len(data) }, false)
		parts := frameAll(fr, data, func() int { return int(portion)%9 + 1 }, false)
		if fmt.Sprint(all) != fmt.Sprint(parts) {
			t.Fatalf("portions change the result:\n%v\n%v", all, parts)
		}
		want := simpleLines(data, fr.recordMax)
		if len(all) < len(want) || fmt.Sprint(all[:len(want)]) != fmt.Sprint(want) {
			t.Fatalf("got %v\nwant %v", all, want)
		}
		checkCovered(t, frameAll(fr, data, func() int { return 3 }, true), data)
	})
}

// checkCovered demands that every byte is in a record, but for line ends.
func checkCovered(t *testing.T, records []got, data []byte) {
	t.Helper()
	pos := int64(0)
	for _, r := range records {
		if gap := data[pos:r.offset]; strings.Trim(string(gap), "\r\n") != "" || r.offset < pos {
			t.Fatalf("bytes %d to %d are in no record, or in two", pos, r.offset)
		}
		text := data[r.offset : r.offset+r.size]
		if rest, ok := bytes.CutPrefix(text, []byte(r.text)); !ok || strings.Trim(string(rest), "\r\n") != "" {
			t.Fatalf("record %q is not the bytes %q", r.text, text)
		}
		pos = r.offset + r.size
	}
	if strings.Trim(string(data[pos:]), "\r\n") != "" {
		t.Fatalf("the end is missing: %q", data[pos:])
	}
}

func patterns(start, cont, end string) *Multiline {
	m := &Multiline{LinesMax: 5}
	if start != "" {
		m.Start = regexp.MustCompile(start)
	}
	if cont != "" {
		m.Continue = regexp.MustCompile(cont)
	}
	if end != "" {
		m.End = regexp.MustCompile(end)
	}
	return m
}

func FuzzFrame_Multiline(f *testing.F) {
	f.Add([]byte("S1\n c\n c\nS2\nx\nE\ny\n c\n"), uint8(30), uint8(2), uint8(0))
	f.Add([]byte("S1\n c\n c\n c\n c\n c\n c\n c\nS\n0123456789012345678901234567890123456789\n c"), uint8(20), uint8(1), uint8(3))
	kinds := []*Multiline{
		patterns("^S", "", ""), patterns("", `^\s`, ""), patterns("", "", "^E"),
		headed("^T"),
		{Start: regexp.MustCompile("^S"), Continue: regexp.MustCompile(`^\s`), Head: regexp.MustCompile("^c"), LinesMax: 5},
		patterns("^S", `^\s`, ""), patterns("^S", "", "^E"), patterns("", `^\s`, "^E"), patterns("^S", `^\s`, "^E"),
	}
	f.Fuzz(func(t *testing.T, data []byte, recordMax, portion, kind uint8) {
		fr := &framer{recordMax: int(recordMax)%60 + 1, batchMax: 1 << 20, multiline: kinds[int(kind)%len(kinds)]}
		all := frameAll(fr, data, func() int { return len(data) }, false)
		parts := frameAll(fr, data, func() int { return int(portion)%9 + 1 }, false)
		if fmt.Sprint(all) != fmt.Sprint(parts) {
			t.Fatalf("portions change the result:\n%v\n%v", all, parts)
		}
		checkCovered(t, frameAll(fr, data, func() int { return 3 }, true), data)
		if rest := len(data); rest > fr.needBytes() && len(all) == 0 {
			t.Fatalf("no progress with %d bytes", rest)
		}
	})
}

// headed is a framing whose records begin at S, or at a head before it.
func headed(head string) *Multiline {
	m := patterns("^[ST]", "", "")
	m.Head = regexp.MustCompile(head)
	return m
}

func TestFrame_AHeadGoesWithItsRecord(t *testing.T) {
	many := strings.Repeat("x\n", headLines)
	for in, want := range map[string][]string{
		"T1\nS1\na\nS2\nb\nT3\nS3\n": {"T1\nS1\na", "S2\nb", "T3\nS3"},
		"T1\nx\ny\nS1\na\nS2\n":      {"T1\nx\ny\nS1\na", "S2"},
		"T1\nT2\nS2\nT3\n":           {"T1", "T2\nS2", "T3"},
		"T1\n" + many + "S1\n":       {"T1\n" + strings.TrimSuffix(many, "\n"), "S1"},
		"T1\nS1\nT2":                 {"T1\nS1", "T2"},
	} {
		m := headed("^T")
		m.LinesMax = 20
		var got []string
		for _, r := range frameAll(&framer{recordMax: 100, batchMax: 1 << 20, multiline: m}, []byte(in), func() int { return 3 }, true) {
			got = append(got, r.text)
		}
		require.Equal(t, want, got, "%q", in)
	}
}

func TestFrame_Multiline(t *testing.T) {
	for _, c := range []struct {
		name             string
		start, cont, end string
		in               string
		want             []string
	}{
		{"start", "^S", "", "", "S1\n a\n b\nS2\nS3\n c\n", []string{"S1\n a\n b", "S2", "S3\n c"}},
		{"lines before the first start", "^S", "", "", " a\n b\nS1\n", []string{" a\n b", "S1"}},
		{"continue", "", `^\s`, "", "a\n b\n c\nd\ne\n f\n", []string{"a\n b\n c", "d", "e\n f"}},
		{"end", "", "", "^E", "a\nb\nE\nc\nE\n", []string{"a\nb\nE", "c\nE"}},
		{"start and end", "^S", "", "^E", "S\na\nE\nx\ny\nS\nE\n", []string{"S\na\nE", "x", "y", "S\nE"}},
		{"start and continue", "^S", `^\s`, "", "S\n a\nx\nS\n b\n", []string{"S\n a", "x", "S\n b"}},
		{"too many lines", "^S", "", "", "S\n1\n2\n3\n4\n5\n6\nS\n", []string{"S\n1\n2\n3\n4", "5\n6", "S"}},
		{"line ends", "^S", "", "", "S\r\n a\r\nS\r\n", []string{"S\r\n a", "S"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fr := &framer{recordMax: 100, batchMax: 1 << 20, multiline: patterns(c.start, c.cont, c.end)}
			var texts []string
			for _, r := range frameAll(fr, []byte(c.in), func() int { return 4 }, true) {
				texts = append(texts, r.text)
			}
			require.Equal(t, c.want, texts)
		})
	}
}

func TestFrame_CutsBetweenGBKCharacters(t *testing.T) {
	text := bytes.Repeat([]byte{'a', 0xc4, 0xe3, 0xba, 0xc3}, 20) // a, then two characters
	for limit := 3; limit < 12; limit++ {
		fr := &framer{recordMax: limit, batchMax: 1 << 20, gbk: true}
		for _, r := range frameAll(fr, append(text, '\n'), func() int { return 200 }, true) {
			lead := false
			for _, c := range []byte(r.text) {
				lead = !lead && c >= 0x81
			}
			require.False(t, lead, "limit %d: a character was cut: %x", limit, r.text)
		}
	}
}

func TestFrame_MarksPartialLines(t *testing.T) {
	fr := &framer{recordMax: 100, batchMax: 1 << 20}
	var st frameState
	data := []byte("whole\nfirst part")
	n := fr.frame(&st, data, 0, true)
	require.Equal(t, len(data), n)
	require.Equal(t, record.Partial, fr.lines[1].Marks)
	n = fr.frame(&st, []byte(" second part\nwhole\n"), int64(n), false)
	require.Equal(t, 19, n)
	require.Equal(t, record.Partial, fr.lines[0].Marks)
	require.Equal(t, " second part", string(fr.lines[0].Bytes))
	require.Zero(t, fr.lines[1].Marks)
}
