package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/wasmtail/wasmtail/plugins/output/logservice"
)

// accessOf is access to the hub that an output sends to, with the key of the
// output, or that of the environment if the output has none of its own.
func accessOf(c *logservice.Config) (*hubAccess, error) {
	h := &hubAccess{endpoint: c.Endpoint, region: cmp.Or(c.Region, "local"), project: c.Project, keyID: c.AccessKeyID, keySecret: c.AccessKeySecret.Reveal()}
	if h.keyID == "" {
		h.keyID, h.keySecret = os.Getenv("WASMTAIL_KEY_ID"), os.Getenv("WASMTAIL_KEY_SECRET")
	}
	if h.keyID == "" || h.keySecret == "" {
		return nil, &exitError{exitUsage, errors.New("no access key: set WASMTAIL_KEY_ID and WASMTAIL_KEY_SECRET")}
	}
	return h, nil
}

// span is a run of bytes of a file, from From to before To.
type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// gaps returns what of [from, to) the spans do not have. They are sorted here.
func gaps(spans []span, from, to int64) (out []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.From, b.From) })
	for _, s := range spans {
		if s.From > from && from < to {
			out = append(out, span{from, min(s.From, to)})
		}
		from = max(from, s.To)
	}
	if from < to {
		out = append(out, span{from, to})
	}
	return out
}

// received is what a hub has of one generation, in all log stores together: the
// pipeline's may have changed.
type received struct {
	logstores                        []string
	spans                            []span
	start, end                       int64
	parsed, failed, filtered, stored int64
	doubleBytes                      int64
	truncated                        bool
}

// receivedOf asks a hub's ledger for one generation of one agent.
func (h *hubAccess) receivedOf(ctx context.Context, agentID, generation string) (*received, error) {
	body, err := h.get(ctx, "/api/v1/ledger", url.Values{"agent": {agentID}, "generation": {generation}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	var answer struct {
		Generations []struct {
			Logstore                         string
			Routed, Truncated                bool
			Ranges                           [][2]int64
			Start, End                       int64
			Parsed, Failed, Filtered, Stored int64
			DoubleBytes                      int64 `json:"double_bytes"`
		}
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("cannot read the hub's answer: %w", err)
	}
	r := &received{start: -1}
	for i := range answer.Generations {
		g := &answer.Generations[i]
		r.stored += g.Stored
		r.parsed += g.Parsed
		r.failed += g.Failed
		r.filtered += g.Filtered
		if g.Routed { // the entry of the pipeline's own log store accounts for the bytes
			continue
		}
		r.logstores = append(r.logstores, g.Logstore)
		for _, s := range g.Ranges {
			r.spans = append(r.spans, span{s[0], s[1]})
		}
		if r.start < 0 || g.Start < r.start {
			r.start = g.Start
		}
		r.end = max(r.end, g.End)
		r.doubleBytes += g.DoubleBytes
		r.truncated = r.truncated || g.Truncated
	}
	return r, nil
}

// doubleMax bounds how many double records are named.
const doubleMax = 1000

// doubled is a record that the store has more than once.
type doubled struct {
	Offset int64 `json:"offset"`
	Line   int64 `json:"line"`
	Times  int   `json:"times"`
}

// doublesOf asks the store itself which records of a generation it has from more
// than one batch. What a module made of one line came in one batch.
func (h *hubAccess) doublesOf(ctx context.Context, generation string) (found []doubled, err error) {
	query := `__wt_generation__:=` + strconv.Quote(generation) +
		` | stats by (_logstore, __wt_offset__) count_uniq(__wt_seq__) as times | filter times:>1 | fields __wt_offset__, times`
	now := time.Now()
	body, err := h.get(ctx, "/api/v1/query", url.Values{
		"query": {query}, "limit": {strconv.Itoa(doubleMax)},
		"start": {now.AddDate(-20, 0, 0).Format(time.RFC3339)}, "end": {now.AddDate(1, 0, 0).Format(time.RFC3339)},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var row struct {
			Offset int64 `json:"__wt_offset__,string"`
			Times  int   `json:"times,string"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("cannot read the hub's answer: %w", err)
		}
		found = append(found, doubled{Offset: row.Offset, Times: row.Times})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the hub's answer: %w", err)
	}
	slices.SortFunc(found, func(a, b doubled) int { return cmp.Compare(a.Offset, b.Offset) })
	return found, nil
}
