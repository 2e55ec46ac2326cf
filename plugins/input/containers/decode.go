package containers

import (
	"bytes"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/strptime"
)

// entry is one line of a log file as the runtime has written it. Its bytes are lent.
type entry struct {
	time   int64 // 0 if it cannot be read
	stream []byte
	text   []byte
	whole  bool // the line of the program ends with it
}

// decoder reads lines of container logs. It belongs to one goroutine, and what it
// returns is valid until its next call.
type decoder struct {
	times *strptime.Parser
	json  fastjson.Parser
}

func newDecoder() *decoder { return &decoder{times: rfc3339.NewParser()} }

// cri reads a line of the CRI: TIME STREAM TAGS TEXT, with the tag P where the
// runtime has cut a line, and F at its end.
func (d *decoder) cri(line []byte) (e entry, ok bool) {
	at, rest, ok1 := bytes.Cut(line, space)
	stream, rest, ok2 := bytes.Cut(rest, space)
	tags, text, ok3 := bytes.Cut(rest, space)
	if !ok3 { // an empty line may come without the last space
		tags, text = rest, nil
	}
	if !ok1 || !ok2 || len(tags) == 0 || tags[0] != 'F' && tags[0] != 'P' || !isStream(stream) {
		return e, false
	}
	e = entry{stream: stream, text: text, whole: tags[0] == 'F'}
	e.time = d.time(at)
	return e, true
}

// docker reads a line of Docker's json-file driver.
func (d *decoder) docker(line []byte) (e entry, ok bool) {
	v, err := d.json.ParseBytes(line)
	if err != nil {
		return e, false
	}
	e.text, e.stream = v.GetStringBytes("log"), v.GetStringBytes("stream")
	if e.text == nil {
		return e, false
	}
	e.text, e.whole = bytes.CutSuffix(e.text, newline)
	e.text = bytes.TrimSuffix(e.text, []byte("\r"))
	e.time = d.time(v.GetStringBytes("time"))
	return e, true
}

// time is 0 for what is none.
func (d *decoder) time(text []byte) int64 {
	t, err := d.times.Parse(text, 0)
	if err != nil {
		return 0
	}
	return t
}

var (
	space   = []byte(" ")
	newline = []byte("\n")
	rfc3339 = must(strptime.Compile("rfc3339", strptime.Options{}))
)

func must(l *strptime.Layout, err error) *strptime.Layout {
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return l
}

func isStream(s []byte) bool { return string(s) == "stdout" || string(s) == "stderr" }

// ends finds the lines of a log file at which a line of the program ends: those that
// the runtime did not cut. One that cannot be read ends, too.
type ends struct{}

// Match implements tail.Matcher.
func (ends) Match(line []byte) bool {
	if len(line) > 0 && line[0] == '{' {
		return dockerEnds(line)
	}
	_, rest, _ := bytes.Cut(line, space)
	_, rest, ok := bytes.Cut(rest, space)
	return !ok || len(rest) == 0 || rest[0] != 'P'
}

// dockerEnds reports whether the value of log ends with a newline: with \n after an
// even number of backslashes, and a quote.
func dockerEnds(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return true // what has another order is taken as it comes
	}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return i >= 2 && rest[i-1] == 'n' && odd(rest[:i-1])
		}
	}
	return true
}

// odd reports whether p ends with an odd number of backslashes.
func odd(p []byte) bool {
	n := 0
	for n < len(p) && p[len(p)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}
