package httpin

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/agent/pipeline"
)

// protocol is a format in which records come.
type protocol struct {
	// decode makes records of a request's inflated body. What it returns besides
	// goes to answer.
	decode func(q *request) (result any, err error)
	// answer tells the sender that all was taken.
	answer func(w http.ResponseWriter, q *request, result any)
	// refuse tells it that nothing was; nil: with a line of text.
	refuse func(w http.ResponseWriter, q *request, p *problem)
}

// handler routes requests to protocols.
func (in *Input) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	for path, p := range map[string]protocol{
		"POST /{$}":                              {decode: decodeJSON, answer: answerCount},
		"POST /v1/jsonl":                         {decode: decodeJSON, answer: answerCount},
		"POST /v1/text":                          {decode: decodeText, answer: answerCount},
		"POST /loki/api/v1/push":                 {decode: decodeLoki, answer: answerNothing},
		"POST /_bulk":                            {decode: decodeBulk, answer: answerBulk, refuse: refuseBulk},
		"POST /{index}/_bulk":                    {decode: decodeBulk, answer: answerBulk, refuse: refuseBulk},
		"POST /v1/logs":                          {decode: decodeOTLP, answer: answerOTLP, refuse: refuseOTLP},
		"POST /logstores/{logstore}/shards/{lb}": {decode: decodeGroup, answer: answerGroup, refuse: refuseGroup},
	} {
		mux.Handle(path, in.serve(&p))
	}
	in.pretend(mux)
	return mux
}

// request is one request under way.
type request struct {
	*http.Request
	in       *Input
	received []byte // the body as it came
	inflated []byte // what came of it, if it was compressed
	body     []byte // one of the two
	scratch  *scratch
	batchers []*intake.Batcher
	held     int64 // of the input's memory
	records  int
}

func (in *Input) serve(p *protocol) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{Request: r, in: in}
		defer q.end()
		result, err := q.run(w, p)
		if err == nil {
			p.answer(w, q, result)
			return
		}
		why := asProblem(err)
		in.drop(r.Context(), why.reason)
		if why.status == http.StatusTooManyRequests || why.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		if why.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="wasmtail"`)
		}
		if p.refuse != nil {
			p.refuse(w, q, why)
			return
		}
		http.Error(w, why.text, why.status)
	})
}

// run takes a request in, and returns when its records are delivered.
func (q *request) run(w http.ResponseWriter, p *protocol) (result any, err error) {
	signed := q.in.verifier != nil && isGroup(q.Request)
	if !signed && !q.in.authorized(q.Request) {
		return nil, &problem{http.StatusUnauthorized, "unauthorised", "show a token or a password that is known here"}
	}
	// What a slow sender may take is bounded, whatever it has sent.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(q.in.c.BodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	if q.scratch, _ = q.in.scratch.Get().(*scratch); q.scratch == nil {
		q.scratch = newScratch()
	}
	if err := q.read(w); err != nil {
		return nil, err
	}
	if signed {
		if _, err := q.in.verifier.Verify(q.Request, q.received); err != nil {
			return nil, &problem{http.StatusUnauthorized, "unauthorised", err.Error()}
		}
	}
	if err := q.inflate(); err != nil {
		return nil, err
	}
	if result, err = p.decode(q); err != nil {
		return nil, err
	}
	return result, q.deliver()
}

// end frees what the request has.
func (q *request) end() {
	for _, b := range q.batchers {
		b.Drop()
	}
	if s := q.scratch; s != nil {
		s.fields, s.text = s.fields[:0], s.text[:0] // of a record that was not finished
		s.keep(q)
		q.in.scratch.Put(s)
	}
	if q.held > 0 {
		q.in.memory.Release(q.held)
	}
}

// batcher is the one that takes the next record.
func (q *request) batcher() *intake.Batcher {
	if n := len(q.batchers); n > 0 && !q.batchers[n-1].Full() {
		return q.batchers[n-1]
	}
	lane := q.in.turn.Add(1)
	if len(q.batchers) > 0 {
		lane = 0 // batches of a request are delivered in any order all the same
	}
	b := q.in.stream.Load().Batcher(lane)
	q.batchers = append(q.batchers, b)
	return b
}

// deliver gives the records to the pipeline, and waits until it has them.
func (q *request) deliver() error {
	c := &q.in.c
	ctx, cancel := context.WithTimeout(q.Context(), c.AckTimeout)
	defer cancel()
	outcomes := make(chan error, len(q.batchers)) // one for each, so that nobody waits
	given := 0
	for i, b := range q.batchers {
		wait := ctx
		if i == 0 { // nothing is given yet: it can be refused
			var stop context.CancelFunc
			wait, stop = context.WithTimeout(ctx, c.BusyAfter)
			defer stop()
		}
		if err := b.Flush(wait, nil, func(err error) { outcomes <- err }); err != nil {
			if given == 0 {
				return errBusy
			}
			return errLate
		}
		given++
	}
	for range given {
		select {
		case err := <-outcomes:
			if err != nil && !errors.Is(err, pipeline.ErrRejected) {
				return errLate
			}
		case <-ctx.Done():
			return errLate
		}
	}
	return nil
}

var errLate = &problem{http.StatusServiceUnavailable, "full", "the records are not delivered yet; they may be: to send them again may deliver them twice"}

// authorized checks a token or a password.
func (in *Input) authorized(r *http.Request) bool {
	if len(in.tokens) == 0 && in.c.User == "" {
		return in.verifier == nil || in.c.Anonymous || in.c.TLS.ClientCAFile != ""
	}
	if user, password, ok := r.BasicAuth(); ok && in.c.User != "" {
		return same(user, in.c.User) && same(password, in.c.Password.Reveal())
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token, ok = strings.CutPrefix(r.Header.Get("Authorization"), "ApiKey ") // Elasticsearch's clients
	}
	known := false
	for _, t := range in.tokens {
		known = same(token, t) || known
	}
	return ok && known
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// answerCount says how many records were taken.
func answerCount(w http.ResponseWriter, q *request, _ any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"records":` + strconv.Itoa(q.records) + "}\n"))
}

func answerNothing(w http.ResponseWriter, _ *request, _ any) { w.WriteHeader(http.StatusNoContent) }
