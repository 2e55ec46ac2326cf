package console

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/hub/stream"
)

// hidden are fields of the store that no answer shows.
func hidden(name string) bool {
	switch name {
	case "_stream", "_stream_id", stream.FieldSeq, stream.FieldMoved:
		return true
	}
	return false
}

// appendRecord appends a record as a JSON object of strings. Its message is
// there under the name of the field that it was, too.
func appendRecord(dst []byte, row []store.Field) []byte {
	moved, message := "", ""
	dst = append(dst, '{')
	first := true
	put := func(name, value string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendString(dst, value)
	}
	for i := range row {
		f := &row[i]
		switch f.Name {
		case stream.FieldMoved:
			moved = f.Value
		case stream.FieldMsg:
			message = f.Value
		}
		if !hidden(f.Name) {
			put(f.Name, f.Value)
		}
	}
	if moved != "" && message != "" {
		put(moved, message)
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. What is no valid UTF-8 becomes the
// replacement character, as any reader of JSON would have it.
func appendString(dst []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\uFFFD")
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// begin takes a place among the queries and bounds the time.
func (c *Console) begin(ctx context.Context) (context.Context, func(), error) {
	if !c.queries.TryAcquire(1) {
		return nil, nil, &apiError{http.StatusServiceUnavailable, "ServerBusy", "Too many queries are running. Try again in a moment."}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	return ctx, func() {
		cancel()
		c.queries.Release(1)
	}, nil
}

// errEnough ends a query whose answer is complete.
var errEnough = errors.New("enough")

// page is a part of an ordered answer.
type page struct {
	limit, offset int
	oldestFirst   bool
}

// records calls emit for the records of a query without pipes, in order of
// time. It asks for the newest piece of the time range first, and goes on only
// as far as it needs to.
func (c *Console) records(ctx context.Context, q store.Query, p page, emit func(row []store.Field) error) error {
	order := " desc"
	if p.oldestFirst {
		order = ""
	}
	start, end := q.Start, q.End
	piece := max((end-start)/64, int64(time.Second))
	skip, left := p.offset, p.limit
	for left > 0 && start < end {
		if end-start < 2*piece {
			piece = end - start
		}
		if p.oldestFirst {
			q.Start, q.End = start, start+piece
			start += piece
		} else {
			q.Start, q.End = end-piece, end
			end -= piece
		}
		piece *= 2
		q.Pipes = "| sort by (_time" + order + ", " + stream.FieldOffset + order + ") limit " + strconv.Itoa(skip+left)
		err := c.o.Querier.Run(ctx, q, func(row []store.Field) error {
			if skip > 0 {
				skip--
				return nil
			}
			if left == 0 {
				return errEnough
			}
			left--
			return emit(row)
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
	}
	return nil
}

// query answers with records, one JSON object a line.
func (c *Console) query(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	q, err := u.scope(v, time.Now())
	if err != nil {
		return err
	}
	var p page
	if p.limit, err = number(v, "limit", bounds{200, 1, limitMax}); err != nil {
		return err
	}
	if p.offset, err = number(v, "offset", bounds{0, 0, 1_000_000}); err != nil {
		return err
	}
	ctx, done, err := c.begin(r.Context())
	if err != nil {
		return err
	}
	defer done()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 64<<10)
	size := 0
	var line []byte
	emit := func(row []store.Field) error {
		line = append(appendRecord(line[:0], row), '\n')
		size += len(line)
		_, err := out.Write(line)
		return err
	}
	if store.HasPipes(q.LogsQL) {
		q.Pipes = "| offset " + strconv.Itoa(p.offset) + " | limit " + strconv.Itoa(p.limit)
		err = c.o.Querier.Run(ctx, q, emit)
	} else {
		err = c.records(ctx, q, p, emit)
	}
	if err != nil && out.Buffered() == size { // nothing has left yet
		return err
	}
	if err != nil {
		c.o.Log.WithError(err).Debug("a query ended early")
		panic(http.ErrAbortHandler) // the only way to tell the client that the answer is cut off
	}
	return out.Flush()
}

// context answers with the records around one, by their place in the file.
func (c *Console) context(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	generation := v.Get("generation")
	if generation == "" || len(generation) > 64 {
		return invalid("generation is missing.")
	}
	offset, err := strconv.ParseUint(v.Get("offset"), 10, 63)
	if err != nil {
		return invalid("offset must be a number.")
	}
	before, err := number(v, "before", bounds{10, 0, 1000})
	if err != nil {
		return err
	}
	after, err := number(v, "after", bounds{10, 0, 1000})
	if err != nil {
		return err
	}
	ctx, done, err := c.begin(r.Context())
	if err != nil {
		return err
	}
	defer done()
	at := strconv.FormatUint(offset, 10)
	q := store.Query{Project: u.project, LogsQL: stream.FieldGeneration + ":=" + strconv.Quote(generation)}
	ask := func(filter, order string, limit int) ([]string, error) {
		var out []string
		q.Filter = stream.FieldOffset + ":" + filter
		q.Pipes = "| sort by (" + stream.FieldOffset + order + ") limit " + strconv.Itoa(limit)
		err := c.o.Querier.Run(ctx, q, func(row []store.Field) error {
			out = append(out, string(appendRecord(nil, row)))
			return nil
		})
		return out, err
	}
	older, err := ask("<="+at, " desc", before+1)
	if err != nil {
		return err
	}
	slices.Reverse(older)
	var newer []string
	if after > 0 {
		if newer, err = ask(">"+at, "", after); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write([]byte(`{"records":[` + strings.Join(append(older, newer...), ",") + "]}\n"))
	return err
}

// hitGroup is one line of a histogram.
type hitGroup struct {
	Fields     map[string]string `json:"fields"`
	Timestamps []string          `json:"timestamps"`
	Values     []uint64          `json:"values"`
	Total      uint64            `json:"total"`
}

// hits answers with the number of records over time.
func (c *Console) hits(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	q, err := u.scope(v, time.Now())
	if err != nil {
		return err
	}
	d, err := step(v, time.Duration(q.End-q.Start))
	if err != nil {
		return err
	}
	field := v.Get("field")
	by := ""
	if field != "" {
		name, err := fieldName(field)
		if err != nil {
			return err
		}
		by = ", " + name
	}
	if store.HasPipes(q.LogsQL) {
		return invalid("A histogram needs a query without pipes.")
	}
	q.Pipes = "| stats by (_time:" + strconv.FormatInt(int64(d), 10) + "ns" + by + ") count() hits | sort by (_time)"
	ctx, done, err := c.begin(r.Context())
	if err != nil {
		return err
	}
	defer done()
	groups := hitGroups{field: field, by: map[string]*hitGroup{}}
	if err := c.o.Querier.Run(ctx, q, groups.add); err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"hits": groups.list()})
	return nil
}

// hitGroups gathers a histogram by the values of a field; all in one group if
// there is no field.
type hitGroups struct {
	field string
	by    map[string]*hitGroup
}

// add takes one row of the answer, in order of time.
func (gs *hitGroups) add(row []store.Field) error {
	var at, value, hits string
	for i := range row {
		switch row[i].Name {
		case stream.FieldTime:
			at = row[i].Value
		case "hits":
			hits = row[i].Value
		}
		if gs.field != "" && row[i].Name == gs.field {
			value = row[i].Value
		}
	}
	n, err := strconv.ParseUint(hits, 10, 64)
	if err != nil {
		return err
	}
	g := gs.by[value]
	if g == nil {
		value = strings.Clone(value)
		g = &hitGroup{Fields: map[string]string{}}
		if gs.field != "" {
			g.Fields[gs.field] = value
		}
		gs.by[value] = g
	}
	g.Timestamps = append(g.Timestamps, strings.Clone(at))
	g.Values = append(g.Values, n)
	g.Total += n
	return nil
}

// list returns the groups, the largest first.
func (gs *hitGroups) list() []*hitGroup {
	list := make([]*hitGroup, 0, len(gs.by))
	for _, g := range gs.by {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *hitGroup) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Fields[gs.field], b.Fields[gs.field]))
	})
	return list
}

// facet is a field and its values.
type facet struct {
	Field  string       `json:"field"`
	Values []facetValue `json:"values"`
	hits   uint64
}

type facetValue struct {
	Value string `json:"value"`
	Hits  uint64 `json:"hits"`
}

const (
	facetValuesMax   = 100
	facetValueLenMax = 128
)

// facets answers with the values of the fields that have few.
func (c *Console) facets(w http.ResponseWriter, r *http.Request, u *caller) error {
	v := r.URL.Query()
	q, err := u.scope(v, time.Now())
	if err != nil {
		return err
	}
	limit, err := number(v, "limit", bounds{10, 1, facetValuesMax})
	if err != nil {
		return err
	}
	if store.HasPipes(q.LogsQL) {
		return invalid("Facets need a query without pipes.")
	}
	q.Pipes = "| facets " + strconv.Itoa(limit) + " max_values_per_field " + strconv.Itoa(facetValuesMax) +
		" max_value_len " + strconv.Itoa(facetValueLenMax) + " keep_const_fields"
	ctx, done, err := c.begin(r.Context())
	if err != nil {
		return err
	}
	defer done()
	found := map[string]*facet{}
	err = c.o.Querier.Run(ctx, q, func(row []store.Field) error {
		var name, value, hits string
		for i := range row {
			switch row[i].Name {
			case "field_name":
				name = row[i].Value
			case "field_value":
				value = row[i].Value
			case "hits":
				hits = row[i].Value
			}
		}
		if name == stream.FieldTime || name == stream.FieldMsg || hidden(name) || strings.HasPrefix(name, "__wt_") {
			return nil
		}
		n, err := strconv.ParseUint(hits, 10, 64)
		if err != nil {
			return err
		}
		f := found[name]
		if f == nil {
			f = &facet{Field: strings.Clone(name)}
			found[f.Field] = f
		}
		f.Values = append(f.Values, facetValue{strings.Clone(value), n})
		f.hits += n
		return nil
	})
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"facets": useful(found)})
	return nil
}

// useful orders facets: first those that divide the records, and among them
// those that more records have, and fewer values.
func useful(found map[string]*facet) []*facet {
	list := make([]*facet, 0, len(found))
	for _, f := range found {
		slices.SortFunc(f.Values, func(a, b facetValue) int {
			return cmp.Or(cmp.Compare(b.Hits, a.Hits), cmp.Compare(a.Value, b.Value))
		})
		list = append(list, f)
	}
	constant := func(f *facet) int {
		if len(f.Values) == 1 {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b *facet) int {
		return cmp.Or(cmp.Compare(constant(a), constant(b)), cmp.Compare(b.hits, a.hits),
			cmp.Compare(len(a.Values), len(b.Values)), cmp.Compare(a.Field, b.Field))
	})
	return list
}
