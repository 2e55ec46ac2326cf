// Package httppoll asks addresses over HTTP at an interval, and makes a record of each
// answer: its status, its body, how long it took, and whether the body matches a
// pattern (promise P38).
//
// It promises one request to an address at a time, that a request ends within its
// time-out, that at most max_body bytes of an answer are read, and that a lack of an
// answer is a record, too. A record that cannot be given on, because the pipeline has
// no room, delays the next request; nothing is asked again for it after a crash.
//
// Run starts a goroutine for each address, and waits for them. Streams is safe for
// concurrent use.
package httppoll

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Env is what the agent lends the input.
type Env struct {
	Pipeline, Version string
	// BatchBytes bounds the bytes of a batch.
	BatchBytes int
	Log        logrus.FieldLogger
}

// Input is the http_poll input of one pipeline.
type Input struct {
	c      Config
	env    Env
	match  *regexp.Regexp // nil without a pattern
	polled []*target
}

// target is one address.
type target struct {
	in      *Input
	text    string
	url     *url.URL
	client  *transport.Client
	stream  atomic.Pointer[intake.Stream]
	failure atomic.Pointer[string]
}

// New returns an input. It reads the files of its settings, and asks nothing before Run.
func New(c Config, env Env) (*Input, error) {
	in := &Input{c: c, env: env}
	var err error
	if c.Match != "" {
		if in.match, err = regexp.Compile(c.Match); err != nil {
			return nil, fmt.Errorf("cannot use the pattern of http_poll: %w", err)
		}
	}
	for _, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("cannot ask %s: %w", text, err)
		}
		client, err := transport.New(transport.Config{
			Endpoint: u.Scheme + "://" + u.Host, Timeout: c.Timeout, TLS: c.TLS, UserAgent: "wasmtail/" + env.Version,
			ResponseBytesMax: int(c.MaxBody) + 1, // one more says that there is more
		})
		if err != nil {
			return nil, fmt.Errorf("cannot ask %s: %w", text, err)
		}
		in.polled = append(in.polled, &target{in: in, text: text, url: u, client: client})
	}
	return in, nil
}

// Run asks until ctx ends. It is called once.
func (in *Input) Run(ctx context.Context, emit pipeline.Emit) error {
	for _, t := range in.polled {
		s, err := intake.Open(intake.Config{Pipeline: in.env.Pipeline, Name: "http_poll " + t.text, BatchBytes: in.env.BatchBytes, Emit: emit})
		if err != nil {
			return fmt.Errorf("cannot begin to ask %s: %w", t.text, err)
		}
		t.stream.Store(s)
	}
	var all sync.WaitGroup
	for _, t := range in.polled {
		all.Go(func() { t.run(ctx) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// Streams implements agent.StreamLister.
func (in *Input) Streams() (list []intake.Status) {
	for _, t := range in.polled {
		s := t.stream.Load()
		if s == nil {
			continue
		}
		st := s.Status()
		if f := t.failure.Load(); f != nil {
			st.Error = *f
		}
		list = append(list, st)
	}
	return list
}

// run asks one address. The first time is somewhere within an interval, the same after
// each start, so that many addresses are not asked at once.
func (t *target) run(ctx context.Context) {
	defer t.client.Close()
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.text))
	timer := time.NewTimer(time.Duration(h.Sum64() % uint64(min(t.in.c.Interval, 10*time.Second))))
	defer timer.Stop()
	batcher := t.stream.Load().Batcher(h.Sum64() | 1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		if !t.ask(ctx, batcher) {
			return
		}
		timer.Reset(max(0, t.in.c.Interval-time.Since(began)))
	}
}

// answer is what came of a request.
type answer struct {
	status int
	body   []byte
	more   bool // the body is longer
	took   time.Duration
	err    error
}

// ask makes one request and its record. It is false when ctx has ended.
func (t *target) ask(ctx context.Context, b *intake.Batcher) bool {
	a := t.request(ctx)
	if ctx.Err() != nil {
		return false
	}
	t.failure.Store(nil)
	if a.err != nil {
		text := a.err.Error()
		t.failure.Store(&text)
	}
	t.add(b, &a)
	return b.Flush(ctx, nil, nil) == nil
}

func (t *target) request(ctx context.Context) (a answer) {
	c := &t.in.c
	header := http.Header{}
	for name, value := range c.Headers {
		header.Set(name, value.Reveal())
	}
	if c.User != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password.Reveal())))
	}
	path := t.url.EscapedPath()
	if path == "" {
		path = "/"
	}
	began := time.Now()
	r, err := t.client.Post(ctx, transport.Request{Method: c.Method, Path: path, RawQuery: t.url.RawQuery, Header: header, Body: []byte(c.RequestBody)})
	a.took = time.Since(began)
	var f *transport.Failure
	switch {
	case err == nil:
		a.status, a.body = r.Status, r.Body
	case errors.As(err, &f) && f.Status != 0:
		a.status, a.body = f.Status, f.Body
	default:
		a.err = err
	}
	if len(a.body) > int(c.MaxBody) {
		a.body, a.more = a.body[:c.MaxBody], true
	}
	return a
}

// The names of fields.
var (
	contentName = []byte(record.Content)
	urlName     = []byte("url")
	methodName  = []byte("method")
	statusName  = []byte("status")
	tookName    = []byte("took_ms")
	bytesName   = []byte("body_bytes")
	cutName     = []byte("body_cut")
	matchName   = []byte("match")
	errorName   = []byte("error")
	trueText    = []byte("true")
	falseText   = []byte("false")
)

// add makes the record of an answer.
func (t *target) add(b *intake.Batcher, a *answer) {
	var content []byte
	if t.in.c.Body {
		content = a.body
	}
	r := b.Add(content)
	r.Time = time.Now().UnixNano()
	batch := b.Batch()
	fields := batch.AllocFields(9)
	text := func(name []byte, value string) {
		fields = append(fields, record.Field{Name: name, Value: batch.Copy([]byte(value))})
	}
	if t.in.c.Body && a.err == nil {
		fields = append(fields, record.Field{Name: contentName, Value: r.Raw})
	}
	text(urlName, t.text)
	text(methodName, t.in.c.Method)
	text(tookName, strconv.FormatFloat(float64(a.took)/float64(time.Millisecond), 'f', 3, 64))
	if a.err != nil {
		text(errorName, a.err.Error())
		r.Fields = fields
		return
	}
	text(statusName, strconv.Itoa(a.status))
	text(bytesName, strconv.Itoa(len(a.body)))
	if a.more {
		fields = append(fields, record.Field{Name: cutName, Value: trueText})
	}
	if t.in.match != nil {
		value := falseText
		if t.in.match.Match(a.body) {
			value = trueText
		}
		fields = append(fields, record.Field{Name: matchName, Value: value})
	}
	r.Fields = fields
}
