// A parser for tests: each line is the name of a helper and what to give it, and
// the row is what the helper makes of it. It shows that the helpers do in a module
// what the tests of the package show natively.
package main

import "github.com/wasmtail/wasmtail/sdk/wt"

const (
	number = iota
	real
	text
	found
)

type helpers struct {
	now   int64
	lines uint32
}

func (h *helpers) Setup(s *wt.Setup) error {
	s.Name("helpers", "1.0.0")
	s.Field("number", wt.Int, "a time or an integer")
	s.Field("real", wt.Float, "a float")
	s.Field("text", wt.String, "a text")
	s.Field("found", wt.Bool, "whether lookup has it")
	h.now = s.ConfigInt("now", 0)
	h.lines = s.Metric("lines")
	if s.ConfigFloat("half", 0) != 0.5 {
		wt.Log(wt.LogWarn, wt.Text("half is not a half"))
	}
	return nil
}

func (h *helpers) Parse(r *wt.Row, line []byte) wt.Status {
	name, ok := wt.Until(&line, ' ')
	if !ok {
		return wt.NoMatch
	}
	wt.CounterAdd(h.lines, 1)
	var n int64
	var x float64
	switch string(name) {
	case "float":
		x, ok = wt.ParseFloat(line)
		r.Float(real, x)
	case "int":
		n, ok = wt.ParseInt(line)
		r.Int(number, n)
	case "syslog":
		n, ok = wt.TimeSyslog(line, h.now)
		r.Int(number, n)
	case "s", "ms", "us", "ns":
		units := map[string]int64{"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}
		n, ok = wt.TimeEpoch(line, units[string(name)])
		r.Int(number, n)
	case "copy":
		r.Str(text, wt.Copy(line))
	case "lookup":
		v, has := wt.Lookup(0, line)
		r.Bool(found, has)
		r.Str(text, v)
	case "span":
		wt.SpanAttr(name, line)
	default:
		return wt.NoMatch
	}
	if !ok {
		return r.Error(1, "refused")
	}
	return wt.OK
}

var _ = wt.Register(&helpers{})

func main() {}
