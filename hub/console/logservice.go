package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/hub/receiver"
	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/hub/stream"
)

const (
	// linesMax is the most records that GetLogs answers with: Log Service's.
	linesMax = 100
	// histogramSteps is how many steps GetHistograms aims at.
	histogramSteps = 60
)

// logsRequest is a reading request of Log Service. Its query is LogsQL.
type logsRequest struct {
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Topic   string `json:"topic"`
	Query   string `json:"query"`
	Line    int    `json:"line"`
	Offset  int    `json:"offset"`
	Reverse bool   `json:"reverse"`
	// v3 asks for the answer of version 3: an object, not a list.
	v3 bool
}

// getLogs answers GET /logstores/<name>?type=log and ?type=histogram.
func (c *Console) getLogs(w http.ResponseWriter, r *http.Request) {
	receiver.Stamp(w)
	v := r.URL.Query()
	q, _, refused := c.admit(r)
	if refused == nil {
		var req logsRequest
		if req, refused = parseLogsRequest(v); refused == nil {
			switch kind := v.Get("type"); kind {
			case "log":
				refused = c.putLogs(w, r, q, req)
			case "histogram":
				refused = c.putHistogram(w, r, q, req)
			default:
				refused = parameterInvalid("The type " + strconv.Quote(kind) + " is not supported: log or histogram.")
			}
		}
	}
	if refused != nil {
		receiver.Refuse(w, refused)
	}
}

// getLogsV3 answers POST /logstores/<name>/logs.
func (c *Console) getLogsV3(w http.ResponseWriter, r *http.Request) {
	receiver.Stamp(w)
	q, body, refused := c.admit(r)
	if refused == nil {
		req := logsRequest{Line: linesMax, v3: true}
		if err := json.Unmarshal(body, &req); err != nil {
			refused = parameterInvalid("The body is not valid JSON.")
		} else {
			refused = c.putLogs(w, r, q, req)
		}
	}
	if refused != nil {
		receiver.Refuse(w, refused)
	}
}

func parameterInvalid(message string) *receiver.Error {
	return &receiver.Error{Status: http.StatusBadRequest, Code: "ParameterInvalid", Message: message}
}

// admit verifies a reading request, and returns the query's place.
func (c *Console) admit(r *http.Request) (store.Query, []byte, *receiver.Error) {
	var q store.Query
	project, refused := c.o.Access.Project(r)
	if refused != nil {
		return q, nil, refused
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bodyBytesMax))
	if err != nil {
		return q, nil, &receiver.Error{Status: http.StatusBadRequest, Code: "PostBodyTooLarge", Message: "The body is too large."}
	}
	if _, refused := c.o.Access.Verify(r, body, project); refused != nil {
		return q, nil, refused
	}
	logstore := r.PathValue("logstore")
	if !c.o.Stream.HasLogstore(project, logstore) {
		return q, nil, &receiver.Error{Status: http.StatusNotFound, Code: "LogStoreNotExist", Message: "The log store does not exist."}
	}
	q.Project = project
	q.Filter, err = logstoreFilter(logstore)
	if err != nil {
		return q, nil, parameterInvalid(err.Error())
	}
	return q, body, nil
}

// parseLogsRequest reads the form of version 1.
func parseLogsRequest(v url.Values) (logsRequest, *receiver.Error) {
	req := logsRequest{Query: v.Get("query"), Topic: v.Get("topic"), Line: linesMax, Reverse: v.Get("reverse") == "true"}
	for _, f := range []struct {
		name string
		dst  *int64
	}{{"from", &req.From}, {"to", &req.To}} {
		n, err := strconv.ParseInt(v.Get(f.name), 10, 64)
		if err != nil {
			return req, parameterInvalid("The parameter " + f.name + " must be in seconds since 1970.")
		}
		*f.dst = n
	}
	for _, f := range []struct {
		name string
		dst  *int
	}{{"line", &req.Line}, {"offset", &req.Offset}} {
		if s := v.Get(f.name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				return req, parameterInvalid("The parameter " + f.name + " must be a number.")
			}
			*f.dst = n
		}
	}
	return req, nil
}

// fill puts the request into the query.
func (req *logsRequest) fill(q *store.Query) *receiver.Error {
	const secondMax = 7_000_000_000
	switch {
	case req.From < 0 || req.To <= req.From || req.To > secondMax:
		return parameterInvalid("The parameter from must lie before to, both in seconds since 1970.")
	case req.Line < 0 || req.Line > linesMax:
		return parameterInvalid("The parameter line must be from 0 to " + strconv.Itoa(linesMax) + ".")
	case req.Offset < 0 || req.Offset > 1_000_000:
		return parameterInvalid("The parameter offset is out of range.")
	}
	q.LogsQL = req.Query
	q.Start, q.End = req.From*int64(time.Second), req.To*int64(time.Second)
	if req.Topic != "" {
		q.Filter += " " + stream.FieldTopic + ":=" + strconv.Quote(req.Topic)
	}
	if err := store.Check(q.LogsQL); err != nil {
		return parameterInvalid(err.Error())
	}
	return nil
}

// logOf turns a stored record into one of Log Service: its own fields, and the
// reserved ones.
func logOf(row []store.Field) map[string]string {
	out := make(map[string]string, len(row)+2)
	moved, message := "", ""
	for i := range row {
		name, value := row[i].Name, strings.Clone(row[i].Value)
		switch name {
		case stream.FieldTime:
			t, err := time.Parse(time.RFC3339Nano, value)
			if err == nil {
				out["__time__"] = strconv.FormatInt(t.Unix(), 10)
				out["__time_ns_part__"] = strconv.Itoa(t.Nanosecond())
			}
		case stream.FieldMsg:
			message = value
		case stream.FieldMoved:
			moved = value
		case stream.FieldLogstore:
		case "__hostname__", "__path__":
			out["__tag__:"+name] = value
		default:
			if !hidden(name) {
				out[strings.Clone(name)] = value
			}
		}
	}
	if moved != "" {
		out[moved] = message
	}
	for _, name := range []string{stream.FieldTopic, stream.FieldSource} {
		if _, ok := out[name]; !ok {
			out[name] = ""
		}
	}
	return out
}

// putLogs answers with records.
func (c *Console) putLogs(w http.ResponseWriter, r *http.Request, q store.Query, req logsRequest) *receiver.Error {
	if refused := req.fill(&q); refused != nil {
		return refused
	}
	ctx, done, err := c.begin(r.Context())
	if err != nil {
		return refusal(err)
	}
	defer done()
	started := time.Now()
	logs := []map[string]string{}
	emit := func(row []store.Field) error {
		logs = append(logs, logOf(row))
		return nil
	}
	if store.HasPipes(q.LogsQL) {
		q.Pipes = "| offset " + strconv.Itoa(req.Offset) + " | limit " + strconv.Itoa(req.Line)
		err = c.o.Querier.Run(ctx, q, emit)
	} else {
		err = c.records(ctx, q, page{limit: req.Line, offset: req.Offset, oldestFirst: !req.Reverse}, emit)
	}
	if err != nil {
		return refusal(err)
	}
	h := w.Header()
	h.Set("x-log-progress", "Complete")
	h.Set("x-log-count", strconv.Itoa(len(logs)))
	if !req.v3 {
		reply(w, http.StatusOK, logs)
		return nil
	}
	reply(w, http.StatusOK, map[string]any{
		"meta": map[string]any{
			"progress": "Complete", "count": len(logs), "hasSQL": store.HasPipes(q.LogsQL), "processedRows": len(logs),
			"processedBytes": 0, "elapsedMillisecond": time.Since(started).Milliseconds(), "cpuSec": 0, "cpuCores": 0,
			"isAccurate": true, "keys": []string{}, "terms": []any{}, "aggQuery": "", "whereQuery": q.LogsQL,
		},
		"data": logs,
	})
	return nil
}

// refusal turns an error of a query into an answer.
func refusal(err error) *receiver.Error {
	var api *apiError
	switch {
	case errors.As(err, &api):
		return &receiver.Error{Status: api.status, Code: api.code, Message: api.message, RetryAfter: time.Second}
	case errors.Is(err, store.ErrQuery):
		return parameterInvalid(err.Error())
	}
	return &receiver.Error{Status: http.StatusInternalServerError, Code: "InternalServerError", Message: "The query failed."}
}

// histogramStep is one step of GetHistograms.
type histogramStep struct {
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	Count    uint64 `json:"count"`
	Progress string `json:"progress"`
}

// putHistogram answers with the number of records over time. Steps begin at
// multiples of their length; the first and the last may be shorter.
func (c *Console) putHistogram(w http.ResponseWriter, r *http.Request, q store.Query, req logsRequest) *receiver.Error {
	if refused := req.fill(&q); refused != nil {
		return refused
	}
	if store.HasPipes(q.LogsQL) {
		return parameterInvalid("A histogram needs a query without pipes.")
	}
	ctx, done, err := c.begin(r.Context())
	if err != nil {
		return refusal(err)
	}
	defer done()
	length := max((req.To-req.From+histogramSteps-1)/histogramSteps, 1)
	q.Pipes = "| stats by (_time:" + strconv.FormatInt(length, 10) + "s) count() hits"
	counts := map[int64]uint64{}
	err = c.o.Querier.Run(ctx, q, func(row []store.Field) error {
		var at time.Time
		var n uint64
		var err error
		for i := range row {
			switch row[i].Name {
			case stream.FieldTime:
				at, err = time.Parse(time.RFC3339Nano, row[i].Value)
			case "hits":
				n, err = strconv.ParseUint(row[i].Value, 10, 64)
			}
			if err != nil {
				return err
			}
		}
		counts[at.Unix()] += n
		return nil
	})
	if err != nil {
		return refusal(err)
	}
	steps := []histogramStep{}
	total := uint64(0)
	for at := req.From - req.From%length; at < req.To; at += length {
		steps = append(steps, histogramStep{max(at, req.From), min(at+length, req.To), counts[at], "Complete"})
		total += counts[at]
	}
	w.Header().Set("x-log-progress", "Complete")
	w.Header().Set("x-log-count", strconv.FormatUint(total, 10))
	reply(w, http.StatusOK, steps)
	return nil
}
