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
	s, ok := wt.Until(&c, ' ')
	if !ok || len(s) == 0 || !wt.Lit(&c, '-') || !wt.Lit(&c, ' ') {
		return wt.NoMatch
	}
	r.Str(addr, s)
	if s, ok = wt.Until(&c, ' '); !ok || len(s) == 0 || !wt.Lit(&c, '[') {
		return wt.NoMatch
	}
	r.Str(user, s)
	if s, ok = wt.Until(&c, ']'); !ok || len(s) == 0 || !wt.Lit(&c, ' ') || !wt.Lit(&c, '"') {
		return wt.NoMatch
	}
	r.Str(local, s)
	request, ok := wt.Quoted(&c)
	if !ok || !wt.Lit(&c, ' ') {
		return wt.NoMatch
	}
	three := putRequest(r, request)
	if s, ok = wt.Until(&c, ' '); !ok {
		return wt.NoMatch
	}
	n, numbers := wt.ParseInt(s)
	numbers = numbers && n >= 0 && n <= 999
	r.Int(status, n)
	if s, ok = wt.Until(&c, ' '); !ok || !wt.Lit(&c, '"') {
		return wt.NoMatch
	}
	if len(s) != 1 || s[0] != '-' {
		n, ok = wt.ParseInt(s)
		numbers = numbers && ok && n >= 0
		r.Int(sent, n)
	}
	if s, ok = wt.Quoted(&c); !ok || !wt.Lit(&c, ' ') || !wt.Lit(&c, '"') {
		return wt.NoMatch
	}
	r.Str(referer, s)
	if s, ok = wt.Quoted(&c); !ok || len(c) != 0 {
		return wt.NoMatch
	}
	r.Str(agent, s)
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
	part, ok := wt.Until(&s, ' ')
	three := ok && len(part) > 0
	r.Str(method, part)
	part, ok = wt.Until(&s, ' ')
	three = three && ok && len(part) > 0
	r.Str(uri, part)
	r.Str(protocol, s)
	return three && len(s) > 0 && wt.Find(s, ' ') == len(s)
}

var _ = wt.Register(nginx{})

func main() {}
