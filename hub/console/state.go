package console

import (
	"net/http"
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

// generation is an entry of the ledger as the API shows it.
type generation struct {
	stream.Entry
	ReadBytes int64         `json:"read_bytes"`
	Missing   stream.Ranges `json:"missing"`
}

// ledger answers with what has arrived of each file.
func (c *Console) ledger(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	project, id := v.Get("project"), v.Get("generation")
	entries := c.o.Stream.Ledger(func(e *stream.Entry) bool {
		return u.may(e.Project) && (project == "" || e.Project == project) && (id == "" || e.Generation == id)
	})
	list := make([]generation, len(entries))
	for i := range entries {
		list[i] = generation{Entry: entries[i], ReadBytes: entries[i].Ranges.Bytes(), Missing: entries[i].Missing()}
	}
	reply(w, http.StatusOK, map[string]any{"totals": stream.Sum(entries), "generations": list})
	return nil
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
