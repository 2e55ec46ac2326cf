package tail

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
)

var headerLine = regexp.MustCompile(`^#`)

// headered makes a rig for files with headers; each record goes out alone, so that
// its header is the one in force before it.
func headered(c *Config) {
	c.Header = headerLine
	c.BatchBytesMax = 1
}

// last returns the last n records, each behind its header.
func (c *collector) last(n int) (list []string) {
	for i := len(c.order) - n; i < len(c.order); i++ {
		list = append(list, c.headers[i]+"|"+c.order[i])
	}
	return list
}

func TestTheLastHeaderGoesAlong(t *testing.T) {
	r := newRig(t, dirOf(t), headered)
	r.write("app.log", "a\n#1\nb\nc\n#1\nd\n#2\ne\n")
	r.settle()
	require.Equal(t, []string{"|a", "|#1", "#1|b", "#1|c", "#1|#1", "#1|d", "#1|#2", "#2|e"}, r.got.last(8))
	r.truncate("app.log")
	r.step(0)
	r.write("app.log", "f\n#3\ng\n")
	r.settle()
	require.Equal(t, []string{"|f", "|#3", "#3|g"}, r.got.last(3), "a new file has none at first")
}

func TestTheHeaderOutlivesARestart(t *testing.T) {
	for name, again := range map[string]func(r *rig){
		"restart": (*rig).restart,
		"crash":   func(r *rig) { r.crash(func(n int) int { return n }) },
		"without what was noted": func(r *rig) {
			for _, src := range r.store.Sources("p") {
				src.Edit(func(e *checkpoint.Entry) { e.Format = "" })
			}
			r.restart()
		},
		"with what is not there": func(r *rig) {
			for _, src := range r.store.Sources("p") {
				src.Edit(func(e *checkpoint.Entry) { e.Format = "0.0000 - x 5 -3 99999999" })
			}
			r.restart()
		},
	} {
		r := newRig(t, dirOf(t), headered)
		r.write("app.log", "#1\n"+strings.Repeat("a long line, so that the header is far away\n", 5000)+"#2\nb\n")
		r.settle()
		require.Equal(t, []string{"#2|b"}, r.got.last(1), name)
		again(r)
		r.write("app.log", "c\n#3\nd\n")
		r.settle()
		require.Equal(t, []string{"#2|c", "#2|#3", "#3|d"}, r.got.last(3), name)
	}
}

func TestAHeaderAtTheTopIsFoundFromTheEnd(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		headered(c)
		c.Start = Start{Kind: StartEnd}
	})
	r.write("app.log", "#1\n"+strings.Repeat("a long line, so that the header is far away\n", 9000))
	r.settle()
	r.write("app.log", "b\n")
	r.settle()
	require.Equal(t, []string{"#1|b"}, r.got.last(1))
}

func TestWhatIsReadAgainHasTheHeaderOfItsPlace(t *testing.T) {
	r := newRig(t, dirOf(t), headered)
	r.write("app.log", "#0\na\n")
	r.settle()
	r.got.hold = true
	var want []string
	for i := range 2 * headersMax {
		r.write("app.log", fmt.Sprintf("#%d\nb%d\n", i+1, i+1))
		want = append(want, fmt.Sprintf("#%d|#%d", i, i+1), fmt.Sprintf("#%d|b%d", i+1, i+1))
	}
	r.step(0)
	require.Equal(t, want, r.got.last(len(want)))
	r.got.hold = false
	r.got.release(false)
	r.settle()
	require.Equal(t, append(want, want...), r.got.last(2*len(want)))
	for _, src := range r.store.Sources("p") {
		require.LessOrEqual(t, len(src.Entry().Format), checkpoint.FormatBytesMax)
		require.Len(t, strings.Fields(src.Entry().Format), 2+headersMax)
	}
}

func TestTheHeaderIsThatOfTheFormatFound(t *testing.T) {
	r := newRig(t, dirOf(t), func(c *Config) {
		c.Detector = withHeader{}
		c.BatchBytesMax = 1
	})
	r.write("app.log", "line 0\n#1\n"+lines(1, linesSure))
	r.settle()
	require.Equal(t, "#1|line 000019", r.got.last(1)[0])
	r.restart()
	r.write("app.log", lines(20, 21))
	r.settle()
	require.Equal(t, []string{"#1|line 000020"}, r.got.last(1))
	require.Equal(t, 1, strings.Count(r.logged.String(), "the format of the file was found"))
}

// withHeader is firstWord for formats whose files have headers.
type withHeader struct{ firstWord }

func (d withHeader) Detect(head []byte) Format {
	f := d.firstWord.Detect(head)
	f.Header = headerLine
	return f
}

func (d withHeader) Named(name string) (Format, bool) {
	f, ok := d.firstWord.Named(name)
	f.Header = headerLine
	return f, ok
}

func TestALongHeaderIsNotRemembered(t *testing.T) {
	r := newRig(t, dirOf(t), headered)
	long := "#" + strings.Repeat("x", headerBytesMax)
	r.write("app.log", "#1\n"+long+"\na\n")
	r.settle()
	require.Equal(t, "#1|a", r.got.last(1)[0])
	f, err := os.Open(r.path("app.log"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	found, err := findHeader(int(f.Fd()), headerLine, int64(len(long)+6))
	require.NoError(t, err)
	require.Equal(t, header{0, []byte("#1")}, found)
}

func TestFrame_HeadersGoAlong(t *testing.T) {
	var got []string
	err := Frame(Config{Header: headerLine, BatchBytesMax: 1}, strings.NewReader("a\n#1\nb\n#2\nc"), func(l *Lines) error {
		for _, line := range l.Lines {
			got = append(got, string(l.Header)+"|"+string(line.Bytes))
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"|a", "|#1", "#1|b", "#1|#2", "#2|c"}, got)
}

// FuzzLastHeader compares the search in a file with one in memory, wherever it is
// asked to look.
func FuzzLastHeader(f *testing.F) {
	f.Add([]byte("a\n#1\nb\n#2\r\n\n#3"), uint16(0), uint16(12))
	f.Add([]byte("#\n##\n\x00#\n"), uint16(2), uint16(5))
	f.Fuzz(func(t *testing.T, data []byte, from, to uint16) {
		lo, hi := int64(min(int(from), len(data))), int64(min(int(to), len(data)))
		if lo > hi {
			return
		}
		var want header
		at := int64(0)
		for line := range strings.Lines(string(data)) {
			text, whole := strings.CutSuffix(line, "\n")
			text = strings.TrimSuffix(text, "\r")
			if whole && at >= lo && at < hi && strings.HasPrefix(text, "#") && len(text) <= headerBytesMax {
				want = header{at, []byte(text)}
			}
			at += int64(len(line))
		}
		file, err := os.CreateTemp(t.TempDir(), "")
		require.NoError(t, err)
		defer func() { _ = file.Close() }()
		_, err = file.Write(data)
		require.NoError(t, err)
		got, ok, err := lastHeader(int(file.Fd()), headerLine, lo, hi)
		require.NoError(t, err)
		require.Equal(t, want.text != nil, ok)
		require.Equal(t, want, got)
	})
}

func TestNotesOfHeadersAreReadWithCare(t *testing.T) {
	for note, want := range map[string][]int64{"": nil, "0 - 1 2": {1, 2}, "x": nil, "0.9 iis": nil, "0.9 iis -1 a 7 99999999999999999999": {7}} {
		tailer := &Tailer{}
		g := &generation{}
		tailer.recall(g, note)
		require.Equal(t, want, g.headers.noted, "%q", note)
	}
}
