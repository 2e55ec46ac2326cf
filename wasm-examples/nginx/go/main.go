// The combined format of nginx. The rules are in ../README.md.
package main

import "github.com/wasmtail/wasmtail/sdk/wt"

const (
	addr = iota
	user
	local
	method
	uri
	protocol
	status
	sent
	referer
	agent
)

type nginx struct{}

func (nginx) Setup(s *wt.Setup) error {
	s.Name("nginx", "1.0.0")
	s.Field("remote_addr", wt.String, "address of the client")
	s.Field("remote_user", wt.String, "user of the basic authentication, - for none")
	s.Field("time_local", wt.String, "time at which the request ended, as written")
	s.Field("method", wt.String, "method of the request")
	s.Field("uri", wt.String, "target of the request, as written")
	s.Field("protocol", wt.String, "protocol of the request")
	s.Field("status", wt.Int, "status of the response")
	s.Field("body_bytes_sent", wt.Int, "bytes of the response without its head")
	s.Field("referer", wt.String, "header Referer, as written, - for none")
	s.Field("user_agent", wt.String, "header User-Agent, as written, - for none")
	return nil
}

// The fields before the request, in it, and behind the numbers.
var (
	head    = wt.NewLayout(wt.Step{ID: addr, Until: " - ", Min: 1}, wt.Step{ID: user, Until: " [", Min: 1}, wt.Step{ID: local, Until: `] "`, Min: 1})
	request = wt.NewLayout(wt.Step{ID: method, Until: " ", Min: 1}, wt.Step{ID: uri, Until: " ", Min: 1})
	tail    = wt.NewLayout(wt.Step{ID: referer, Until: `" "`}, wt.Step{ID: agent, Until: `"`})
)

// Parse puts fields as they are found: those of a line that turns out to be wrong
// are forgotten. What is wrong inside of the line is told when its shape is known
// to be right.
func (nginx) Parse(r *wt.Row, c []byte) wt.Status {
	c = wt.Chomp(c)
	if r.Cuts(&c, head) < len(head) {
		return wt.NoMatch
	}
	parts, ok := wt.Quoted(&c)
	if !ok || !wt.Lit(&c, ' ') {
		return wt.NoMatch
	}
	three := r.Cuts(&parts, request) == len(request) && len(parts) > 0 && wt.Find(parts, ' ') == len(parts)
	r.Str(protocol, parts)
	n, m := int64(0), int64(0)
	if n, ok = r.CutInt(status, &c, ' '); !ok {
		if r.Cut(status, &c, ' ') < 0 {
			return wt.NoMatch
		}
		n = -1
	}
	if !wt.Prefix(&c, "- ") {
		if m, ok = r.CutInt(sent, &c, ' '); !ok {
			if r.Cut(sent, &c, ' ') < 0 {
				return wt.NoMatch
			}
			m = -1
		}
	}
	if !wt.Lit(&c, '"') || r.Cuts(&c, tail) < len(tail) || len(c) != 0 {
		return wt.NoMatch
	}
	if !three {
		return r.Error(2, "request")
	}
	if n < 0 || n > 999 || m < 0 {
		return r.Error(3, "number")
	}
	return wt.OK
}

var _ = wt.Register(nginx{})

func main() {}
