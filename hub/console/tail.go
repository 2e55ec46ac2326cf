package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/hub/stream"
)

const (
	// tailEvery is the least time between two messages: four a second.
	tailEvery = 250 * time.Millisecond
	// tailRecordsMax is the most records in one message; the rest is dropped, and
	// counted.
	tailRecordsMax = 500
	// heartbeatEvery keeps proxies from closing a quiet connection.
	heartbeatEvery = 10 * time.Second
)

// tail sends new records as they become visible.
func (c *Console) tail(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	q, err := u.scope(v, time.Now())
	if err != nil {
		return err
	}
	if store.HasPipes(q.LogsQL) {
		return invalid("A live tail needs a query without pipes.")
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	listener := c.o.Stream.Listen()
	defer listener.Close()
	s := sse{w: w, rc: http.NewResponseController(w)}
	if err := s.send(": following\n\n"); err != nil {
		return nil
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	pause := time.NewTicker(tailEvery)
	defer pause.Stop()
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-beat.C:
			err = s.send(": beat\n\n")
		case <-listener.Ready():
			err = c.follow(r.Context(), &s, q, listener.Take())
			if err == nil {
				pause.Reset(tailEvery)
				select {
				case <-pause.C:
				case <-r.Context().Done():
				}
			}
		}
		if err != nil {
			return nil // the client has gone; there is nothing to answer
		}
	}
}

// tailRecord is a record on its way, and what orders it.
type tailRecord struct {
	time   string
	offset uint64
	json   []byte
}

// follow sends the records of what has become visible.
func (c *Console) follow(ctx context.Context, s *sse, q store.Query, v stream.Visible) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	q.Filter = strings.TrimSpace(q.Filter + " " + stream.FieldSeq + ":range[" + strconv.FormatUint(v.SeqMin, 10) + ", " + strconv.FormatUint(v.SeqMax, 10) + "]")
	q.Start, q.End = v.TimeMin, v.TimeMax+1
	var records []tailRecord
	dropped := 0
	err := c.o.Querier.Run(ctx, q, func(row []store.Field) error {
		if len(records) == tailRecordsMax {
			dropped++
			return nil
		}
		rec := tailRecord{json: appendRecord(nil, row)}
		for i := range row {
			switch row[i].Name {
			case stream.FieldTime:
				rec.time = strings.Clone(row[i].Value)
			case stream.FieldOffset:
				rec.offset, _ = strconv.ParseUint(row[i].Value, 10, 64)
			}
		}
		records = append(records, rec)
		return nil
	})
	if err != nil {
		c.o.Log.WithError(err).Debug("a tail missed records")
		return s.event("dropped", []byte(`{"count":`+strconv.Itoa(v.Rows)+`}`))
	}
	slices.SortFunc(records, func(a, b tailRecord) int {
		if d := strings.Compare(timeKey(a.time), timeKey(b.time)); d != 0 {
			return d
		}
		switch {
		case a.offset < b.offset:
			return -1
		case a.offset > b.offset:
			return 1
		}
		return 0
	})
	if len(records) > 0 {
		data := []byte{'['}
		for i, rec := range records {
			if i > 0 {
				data = append(data, ',')
			}
			data = append(data, rec.json...)
		}
		if err := s.event("logs", append(data, ']')); err != nil {
			return err
		}
	}
	if dropped > 0 {
		return s.event("dropped", []byte(`{"count":`+strconv.Itoa(dropped)+`}`))
	}
	return nil
}

// timeKey makes RFC 3339 times of differing precision comparable as text.
func timeKey(s string) string { return strings.TrimSuffix(s, "Z") }

// sse writes server-sent events.
type sse struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// event sends one event; data has no line ends.
func (s *sse) event(name string, data []byte) error {
	return s.send("event: " + name + "\ndata: " + string(data) + "\n\n")
}

func (s *sse) send(text string) error {
	// A writer without deadlines is one of a test: it does not block.
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.rc.Flush()
}
