package console

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"github.com/wasmtail/wasmtail/hub/stream"
)

// logstores answers with the log stores, of one project or of all that the
// caller may see.
func (c *Console) logstores(w http.ResponseWriter, r *http.Request, u *caller) error {
	out := []map[string]any{}
	for _, s := range c.o.Stream.Logstores(r.URL.Query().Get("project")) {
		if !u.may(s.Project) {
			continue
		}
		m := map[string]any{"project": s.Project, "logstore": s.Logstore, "records": s.Records, "bytes": s.Bytes, "last": ""}
		if !s.Last.IsZero() {
			m["last"] = s.Last.UTC().Format(time.RFC3339Nano)
		}
		out = append(out, m)
	}
	reply(w, http.StatusOK, map[string]any{"logstores": out})
	return nil
}

const (
	// ledgerLimit is how many generations an answer has if the request does not
	// say; limitMax is the most.
	ledgerLimit = 1000
	// rangesMax bounds the ranges of an answer: 1 MiB of text. An ordinary file
	// has one.
	rangesMax = 32 << 10
	// offsetMax bounds how far a request may page.
	offsetMax = 100_000_000
	// patternBytesMax bounds a pattern of paths.
	patternBytesMax = 4096
)

// ledger answers with what has arrived of each file.
func (c *Console) ledger(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	sel := stream.Selection{RangesMax: rangesMax}
	var err error
	if sel.Keep, err = ledgerFilter(v, u); err != nil {
		return err
	}
	if sel.Limit, err = number(v, "limit", bounds{ledgerLimit, 1, limitMax}); err != nil {
		return err
	}
	if sel.Offset, err = number(v, "offset", bounds{0, 0, offsetMax}); err != nil {
		return err
	}
	p := c.o.Stream.Page(sel)
	reply(w, http.StatusOK, map[string]any{
		"totals": p.Totals, "count": p.Count, "generations": p.Accounts, "truncated": p.Truncated,
	})
	return nil
}

// ledgerFilter reads project, logstore, agent, generation and path, each of which
// may be absent. A path is taken as it is, or as a pattern in which * and ? stand
// for anything but a slash.
func ledgerFilter(v url.Values, u *caller) (func(*stream.Entry) bool, error) {
	pattern := v.Get("path")
	if _, err := path.Match(pattern, ""); err != nil || len(pattern) > patternBytesMax {
		return nil, invalid("path must be a path, or a pattern with *, ? and [a-z], of at most " + strconv.Itoa(patternBytesMax) + " bytes.")
	}
	project, logstore, agent, id := v.Get("project"), v.Get("logstore"), v.Get("agent"), v.Get("generation")
	is := func(want, got string) bool { return want == "" || want == got }
	return func(e *stream.Entry) bool {
		if !u.may(e.Project) || !is(project, e.Project) || !is(logstore, e.Logstore) || !is(agent, e.Agent) || !is(id, e.Generation) {
			return false
		}
		if is(pattern, e.Path) {
			return true
		}
		ok, err := path.Match(pattern, e.Path)
		return ok && err == nil
	}, nil
}

// status answers with what the hub is and does.
func (c *Console) status(w http.ResponseWriter, _ *http.Request, _ *caller) error {
	ingest := map[string]any{}
	if c.o.Ingest != nil {
		ingest = c.o.Ingest()
	}
	reply(w, http.StatusOK, map[string]any{
		"version": c.o.Version, "uptime_seconds": int64(time.Since(c.started).Seconds()),
		"store": c.o.Store, "default_project": c.o.Access.DefaultProject, "ingest": ingest,
	})
	return nil
}
