package console

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/hub/receiver"
	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/hub/stream"
)

const (
	// defaultSpan is the time range of a query that names none.
	defaultSpan = 15 * time.Minute
	// limitMax bounds the records of an answer.
	limitMax = 10_000
	// bucketsMax bounds the steps of a histogram.
	bucketsMax = 5000
)

// scope reads project, logstore, query, start and end.
func (u *caller) scope(v url.Values, now time.Time) (store.Query, error) {
	q := store.Query{Project: u.project, LogsQL: v.Get("query")}
	if err := store.Check(q.LogsQL); err != nil {
		return q, err
	}
	var err error
	if q.Filter, err = logstoreFilter(v.Get("logstore")); err != nil {
		return q, err
	}
	end, start := now, now.Add(-defaultSpan)
	if s := v.Get("end"); s != "" {
		if end, err = parseTime(s); err != nil {
			return q, err
		}
		start = end.Add(-defaultSpan)
	}
	if s := v.Get("start"); s != "" {
		if start, err = parseTime(s); err != nil {
			return q, err
		}
	}
	if !start.Before(end) {
		return q, invalid("start must lie before end.")
	}
	q.Start, q.End = start.UnixNano(), end.UnixNano()
	return q, nil
}

// logstoreFilter returns the LogsQL filter of a log store, empty for all.
func logstoreFilter(logstore string) (string, error) {
	if logstore == "" {
		return "", nil
	}
	if !receiver.ValidName(logstore) {
		return "", invalid("The log store's name is not valid.")
	}
	return stream.FieldLogstore + ":=" + strconv.Quote(logstore), nil
}

// parseTime reads RFC 3339, or a number of seconds, milliseconds, microseconds
// or nanoseconds since 1970, told apart by their size.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return bounded(t)
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return time.Time{}, invalid("A time must be RFC 3339 or a number since 1970: " + strconv.Quote(s) + ".")
	}
	switch {
	case n < 1e11:
		return bounded(time.Unix(0, int64(n*1e9)))
	case n < 1e14:
		return bounded(time.Unix(0, int64(n*1e6)))
	case n < 1e17:
		return bounded(time.Unix(0, int64(n*1e3)))
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return bounded(time.Unix(0, i))
	}
	return time.Time{}, invalid("The time is out of range.")
}

// bounded refuses times that do not fit into nanoseconds.
func bounded(t time.Time) (time.Time, error) {
	if y := t.Year(); y < 1970 || y > 2200 {
		return t, invalid("The time is out of range.")
	}
	return t, nil
}

// bounds are those of a number, and what it is when it is not given.
type bounds struct{ def, least, most int }

// number reads a number within bounds, or the default.
func number(v url.Values, name string, b bounds) (int, error) {
	s := v.Get(name)
	if s == "" {
		return b.def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < b.least || n > b.most {
		return 0, invalid(name + " must be a number from " + strconv.Itoa(b.least) + " to " + strconv.Itoa(b.most) + ".")
	}
	return n, nil
}

// step reads the step of a histogram. The default makes some 60 steps.
func step(v url.Values, span time.Duration) (time.Duration, error) {
	s := v.Get("step")
	if s == "" {
		return max((span / 60).Round(time.Second), time.Second), nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Millisecond || d > 366*24*time.Hour {
		return 0, invalid("step must be a duration such as 10s.")
	}
	if span/d > bucketsMax {
		return 0, invalid("step is too small for the time range: at most " + strconv.Itoa(bucketsMax) + " steps.")
	}
	return d, nil
}

// fieldName quotes a field's name for LogsQL.
func fieldName(s string) (string, error) {
	if len(s) > store.NameBytesMax {
		return "", invalid("The field's name is too long.")
	}
	return strconv.Quote(s), nil
}
