package logservice

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

// partsMax bounds the requests that one payload is taken apart into. One bad
// record among 4,096 takes 24, ten take at most 200; a batch of nothing but bad
// records is not worth a request for each.
const partsMax = 256

// sendParts sends the halves of p, halves of halves, and so on, until each part
// is stored, or is one record that the receiver refuses. A failure that time
// can heal ends it: the whole payload is then tried again, and the receiver
// sees the stored parts twice.
func (o *Output) sendParts(ctx context.Context, p *payload) error {
	raw, err := loggroup.Decompress(nil, p.body, p.codec, p.rawBytes)
	if err != nil {
		return o.rejected(p, err)
	}
	var g loggroup.Group
	if err := g.Decode(raw); err != nil {
		return o.rejected(p, err)
	}
	s := splitter{output: o, payload: p, group: &g, compressor: loggroup.NewCompressor(p.codec)}
	s.readLedger()
	if err := s.halves(ctx, 0, len(g.Logs)); err != nil {
		return err
	}
	if s.refused > 0 {
		return &pipeline.RejectedError{Records: s.lines, Err: fmt.Errorf("cannot send %d of the %d records of batch %s: %w",
			s.refused, len(g.Logs), p.batchID, s.reason)}
	}
	return nil
}

var errParts = errors.New("too many of its records are refused to try each")

// splitter sends one payload in parts.
type splitter struct {
	output     *Output
	payload    *payload
	group      *loggroup.Group
	compressor *loggroup.Compressor
	raw, body  []byte

	// The ledger of the whole; offsets is nil when it has none.
	start, end    int64
	offsets, ends []int64
	filtered      int

	posts, refused int
	reason         error  // why the last refused record was
	lines          []byte // all that were, for people
}

// readLedger reads the tags that must be made anew for each part.
func (s *splitter) readLedger() {
	var start, end int64
	var parsed, failed int
	_, errRange := fmt.Sscanf(string(s.group.Tag(loggroup.TagRange)), "%d-%d", &start, &end)
	_, errCounts := fmt.Sscanf(string(s.group.Tag(loggroup.TagCounts)), "%d,%d,%d", &parsed, &failed, &s.filtered)
	offsets, err := loggroup.ParseOffsets(nil, s.group.Tag(loggroup.TagOffsets))
	ends, errEnds := loggroup.ParseOffsets(nil, s.group.Tag(loggroup.TagEnds))
	if errRange == nil && errCounts == nil && err == nil && errEnds == nil && len(offsets) == len(s.group.Logs) {
		s.start, s.end, s.offsets, s.ends = start, end, offsets, ends
	}
}

// halves sends the logs [from, to) in two parts.
func (s *splitter) halves(ctx context.Context, from, to int) error {
	middle := from + (to-from)/2
	if err := s.part(ctx, from, middle); err != nil {
		return err
	}
	return s.part(ctx, middle, to)
}

// part sends the logs [from, to), in smaller parts if it must. It returns only
// failures that time can heal.
func (s *splitter) part(ctx context.Context, from, to int) error {
	if from == to {
		return nil
	}
	part := s.encode(from, to)
	if part.rawBytes > int(s.output.config.RawBytesMax) && to-from > 1 {
		return s.halves(ctx, from, to)
	}
	if s.posts++; s.posts > partsMax {
		s.refuse(from, to, errParts)
		return nil
	}
	err := s.output.post(ctx, part)
	var f *transport.Failure
	if !errors.As(err, &f) {
		return err
	}
	switch f.Class {
	case transport.BadData, transport.TooLarge:
		if to-from > 1 {
			return s.halves(ctx, from, to)
		}
		s.refuse(from, to, f)
		return nil
	case transport.Rejected:
		if part.codec != loggroup.None {
			plain := *part
			plain.codec, plain.body = loggroup.None, s.raw
			if err = s.output.post(ctx, &plain); err == nil {
				return nil
			}
			if !errors.As(err, &f) || f.Class != transport.Rejected {
				return s.output.explain(s.payload, f)
			}
		}
		s.refuse(from, to, f)
		return nil
	}
	return s.output.explain(s.payload, f)
}

// refuse notes that the logs [from, to) will not be sent.
func (s *splitter) refuse(from, to int, why error) {
	part := *s.group
	part.Logs = s.group.Logs[from:to]
	s.lines = appendRefused(s.lines, s.payload, &part, why)
	s.refused += to - from
	s.reason = why
}

// encode makes the payload of the logs [from, to), valid until the next call.
func (s *splitter) encode(from, to int) *payload {
	part := *s.group
	part.Logs = s.group.Logs[from:to]
	if s.offsets != nil {
		part.Tags = s.tags(from, to)
	}
	s.raw = loggroup.AppendGroup(s.raw[:0], &part)
	s.body = s.compressor.Append(s.body[:0], s.raw)
	p := *s.payload
	p.rawBytes, p.records, p.body = len(s.raw), to-from, s.body
	return &p
}

// tags are those of the whole, with range, offsets and counts of the logs
// [from, to). The ranges of all parts make up the range of the whole; what was
// filtered is counted with the first.
func (s *splitter) tags(from, to int) []loggroup.Pair {
	start, end := s.start, s.end
	filtered := 0
	if from > 0 {
		start = s.start + s.offsets[from]
	} else {
		filtered = s.filtered
	}
	if to < len(s.offsets) {
		end = s.start + s.offsets[to]
	}
	failed := 0
	for i := from; i < to; i++ {
		if isFailed(&s.group.Logs[i]) {
			failed++
		}
	}
	tags := make([]loggroup.Pair, 0, len(s.group.Tags))
	for _, t := range s.group.Tags {
		switch string(t.Key) {
		case loggroup.TagRange:
			t.Value = appendRange(nil, start, end)
		case loggroup.TagCounts:
			t.Value = appendThree(nil, to-from-failed, failed, filtered)
		case loggroup.TagOffsets:
			t.Value = s.places(s.offsets[from:to], start, end)
		case loggroup.TagEnds:
			if t.Value = s.places(s.ends, start, end); len(t.Value) == 0 {
				continue
			}
		}
		tags = append(tags, t)
	}
	return tags
}

// places is the text of those offsets that lie in the range.
func (s *splitter) places(offsets []int64, start, end int64) []byte {
	b := record.Batch{Start: start}
	for _, at := range offsets {
		if at += s.start; start <= at && at < end {
			b.Records = append(b.Records, record.Record{Offset: at})
		}
	}
	return loggroup.AppendOffsets(nil, &b)
}

// isFailed is true for a log of a record that could not be parsed.
func isFailed(l *loggroup.Log) bool {
	for _, c := range l.Contents {
		if string(c.Key) == record.Error {
			return true
		}
	}
	return false
}
