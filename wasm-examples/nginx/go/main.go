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

// Parse puts fields as they are found: those of a line that turns out to be wrong
// are forgotten. What is wrong inside of the line is told when its shape is known
// to be right.
func (nginx) Parse(r *wt.Row, c []byte) wt.Status {
	c = wt.Chomp(c)
	if r.Cut(addr, &c, ' ') < 1 || !wt.Lit(&c, '-') || !wt.Lit(&c, ' ') {
		return wt.NoMatch
	}
	if r.Cut(user, &c, ' ') < 1 || !wt.Lit(&c, '[') {
		return wt.NoMatch
	}
	if r.Cut(local, &c, ']') < 1 || !wt.Lit(&c, ' ') || !wt.Lit(&c, '"') {
		return wt.NoMatch
	}
	request, ok := wt.Quoted(&c)
	if !ok || !wt.Lit(&c, ' ') {
		return wt.NoMatch
	}
	three := putRequest(r, request)
	n, number := r.CutInt(status, &c, ' ')
	if !number {
		if _, ok = wt.Until(&c, ' '); !ok {
			return wt.NoMatch
		}
	}
	numbers := number && n >= 0 && n <= 999
	if len(c) > 1 && c[0] == '-' && c[1] == ' ' {
		c = c[2:]
	} else if n, number = r.CutInt(sent, &c, ' '); !number {
		if _, ok = wt.Until(&c, ' '); !ok {
			return wt.NoMatch
		}
		numbers = false
	} else if n < 0 {
		numbers = false
	}
	if !wt.Lit(&c, '"') || r.CutQuoted(referer, &c) < 0 || !wt.Lit(&c, ' ') || !wt.Lit(&c, '"') {
		return wt.NoMatch
	}
	if r.CutQuoted(agent, &c) < 0 || len(c) != 0 {
		return wt.NoMatch
	}
	if !three {
		return r.Error(2, "request")
	}
	if !numbers {
		return r.Error(3, "number")
	}
	return wt.OK
}

// putRequest puts the three parts of a request line, and is false when it has not
// three of them.
func putRequest(r *wt.Row, s []byte) bool {
	three := r.Cut(method, &s, ' ') > 0 && r.Cut(uri, &s, ' ') > 0
	r.Str(protocol, s)
	return three && len(s) > 0 && wt.Find(s, ' ') == len(s)
}

var _ = wt.Register(nginx{})

func main() {}
