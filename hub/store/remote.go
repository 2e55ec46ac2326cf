package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fastjson"
)

const (
	// insertBytesMax is the size at which rows are sent: far below the 64 MiB
	// that a server takes in one request.
	insertBytesMax = 8 << 20
	// lineBytesMax bounds one row of an answer.
	lineBytesMax = 16 << 20
	// requestTimeout is the default of Timeout: a server that takes 8 MiB in a
	// minute is as good as down.
	requestTimeout = time.Minute
	// errorBytesMax bounds how much of an error answer is read.
	errorBytesMax = 4 << 10
)

// RemoteOptions say where a VictoriaLogs server or cluster is.
type RemoteOptions struct {
	// InsertURL and SelectURL are base addresses, for example
	// http://127.0.0.1:9428. SelectURL is InsertURL when it is empty.
	InsertURL, SelectURL string
	// Settle is how long rows may be in the memory of a server after it has
	// taken them. It must be longer than the servers' flush interval, 5 seconds
	// by their default. After it the rows are counted, and ErrIncomplete tells
	// that a server has lost some.
	Settle time.Duration
	// SeqField names the numeric field by which the rows of a span are counted.
	SeqField string
	// Timeout bounds one request that writes or counts rows. 1 minute.
	Timeout time.Duration
	// Client sends the requests.
	Client *http.Client
}

// Remote is a store behind HTTP.
type Remote struct {
	o    RemoteOptions
	enc  *zstd.Encoder
	body []byte
	// What this span holds, and what body does, by project.
	span, under map[string]*spanCount
}

// spanCount is what was written to one project.
type spanCount struct {
	rows           uint64
	seqMin, seqMax uint64
}

// Dial returns a store behind HTTP. It opens no connection yet. Close releases
// idle ones.
func Dial(o RemoteOptions) (*Remote, error) {
	if o.SelectURL == "" {
		o.SelectURL = o.InsertURL
	}
	for _, s := range []*string{&o.InsertURL, &o.SelectURL} {
		u, err := url.Parse(*s)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("cannot use %q as the address of a store: write http://host:port", *s)
		}
		*s = strings.TrimSuffix(*s, "/")
	}
	if o.Timeout <= 0 {
		o.Timeout = requestTimeout
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("cannot make a compressor: %w", err)
	}
	return &Remote{o: o, enc: enc, span: make(map[string]*spanCount), under: make(map[string]*spanCount)}, nil
}

// Close releases idle connections.
func (r *Remote) Close() error {
	r.o.Client.CloseIdleConnections()
	return nil
}

// Write implements Writer.
func (r *Remote) Write(ctx context.Context, rows *Rows) error {
	names := make(map[logstorage.TenantID]string, len(rows.tenants))
	for name, t := range rows.tenants {
		names[t] = name
	}
	var err error
	r.body = r.body[:0]
	clear(r.under)
	rows.lr.ForEachRow(func(_ uint64, row *logstorage.InsertRow) {
		if err != nil {
			return
		}
		r.count(names[row.TenantID], row.Fields)
		r.body = row.Marshal(r.body)
		if len(r.body) >= insertBytesMax {
			err = r.insert(ctx)
		}
	})
	if err == nil && len(r.body) > 0 {
		err = r.insert(ctx)
	}
	return err
}

// countIn is what counts holds for a project.
func countIn(counts map[string]*spanCount, project string) *spanCount {
	c := counts[project]
	if c == nil {
		c = &spanCount{seqMin: ^uint64(0)}
		counts[project] = c
	}
	return c
}

// count notes one row of the body.
func (r *Remote) count(project string, fields []Field) {
	c := countIn(r.under, project)
	c.rows++
	for i := range fields {
		if fields[i].Name != r.o.SeqField {
			continue
		}
		if seq, err := strconv.ParseUint(fields[i].Value, 10, 64); err == nil {
			c.seqMin, c.seqMax = min(c.seqMin, seq), max(c.seqMax, seq)
		}
		return
	}
}

// taken adds what the body holds to the span. Only what the server has taken
// counts: the rest is written again, and would be missed as if it were lost.
func (r *Remote) taken() {
	for project, u := range r.under {
		c := countIn(r.span, project)
		c.rows += u.rows
		c.seqMin, c.seqMax = min(c.seqMin, u.seqMin), max(c.seqMax, u.seqMax)
	}
	clear(r.under)
}

// insert sends the body.
func (r *Remote) insert(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	body := r.enc.EncodeAll(r.body, nil)
	r.body = r.body[:0]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.o.InsertURL+"/internal/insert?version=v1", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot make an insert request: %w", err)
	}
	req.Header.Set("Content-Encoding", "zstd")
	resp, err := r.o.Client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the store: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return answerError("write to the store", resp)
	}
	r.taken()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBytesMax)) // so that the connection serves again
	return nil
}

func answerError(verb string, resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, errorBytesMax))
	return fmt.Errorf("cannot %s: %s: %s", verb, resp.Status, bytes.TrimSpace(text))
}

// Flush implements Writer. A remote store shows rows by itself, about a second
// after it has taken them.
func (r *Remote) Flush(context.Context) error { return nil }

// Seal implements Writer.
func (r *Remote) Seal(context.Context) (func(context.Context) error, error) {
	span := r.span
	r.span = make(map[string]*spanCount)
	return func(ctx context.Context) error {
		wait := time.NewTimer(r.o.Settle)
		defer wait.Stop()
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for the store to reach the disk: %w", context.Cause(ctx))
		case <-wait.C:
		}
		for project, c := range span {
			if err := r.verify(ctx, project, c); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// verify counts the rows of a span.
func (r *Remote) verify(ctx context.Context, project string, c *spanCount) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	var found uint64
	q := Query{
		Project: project,
		LogsQL:  fmt.Sprintf("%s:range[%d, %d]", r.o.SeqField, c.seqMin, c.seqMax),
		Pipes:   "| stats count() rows",
	}
	err := r.Run(ctx, q, func(row []Field) error {
		for i := range row {
			if row[i].Name == "rows" {
				n, err := strconv.ParseUint(row[i].Value, 10, 64)
				found += n
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot count the rows written: %w", err)
	}
	if found < c.rows {
		return fmt.Errorf("%w: project %s has %d of %d", ErrIncomplete, project, found, c.rows)
	}
	return nil
}

// Run implements Querier.
func (r *Remote) Run(ctx context.Context, q Query, emit func(row []Field) error) error {
	text, err := q.text()
	if err != nil {
		return err
	}
	form := url.Values{"query": {text}}
	if q.Filter != "" {
		form.Set("extra_filters", q.Filter)
	}
	if q.Start != 0 || q.End != 0 {
		form.Set("start", time.Unix(0, q.Start).UTC().Format(time.RFC3339Nano))
		form.Set("end", time.Unix(0, q.End-1).UTC().Format(time.RFC3339Nano))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.o.SelectURL+"/select/logsql/query", strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("cannot make a query request: %w", err)
	}
	t := tenantOf(q.Project)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("AccountID", strconv.FormatUint(uint64(t.AccountID), 10))
	req.Header.Set("ProjectID", strconv.FormatUint(uint64(t.ProjectID), 10))
	resp, err := r.o.Client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the store: %w", err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusBadRequest:
		return fmt.Errorf("%w: %w", ErrQuery, answerError("run the query", resp))
	case resp.StatusCode != http.StatusOK:
		return answerError("run the query", resp)
	}
	return readRows(resp.Body, emit)
}

// readRows reads one JSON object a line.
func readRows(body io.Reader, emit func(row []Field) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
	var p fastjson.Parser
	var row []Field
	for lines.Scan() {
		v, err := p.ParseBytes(lines.Bytes())
		if err != nil {
			return fmt.Errorf("cannot read an answer of the store: %w", err)
		}
		o, err := v.Object()
		if err != nil {
			return fmt.Errorf("cannot read an answer of the store: %w", err)
		}
		row = row[:0]
		o.Visit(func(key []byte, v *fastjson.Value) {
			if s, err := v.StringBytes(); err == nil && len(s) > 0 {
				row = append(row, Field{Name: string(key), Value: string(s)})
			}
		})
		if err := emit(row); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read an answer of the store: %w", err)
	}
	return nil
}
