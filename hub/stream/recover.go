package stream

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/wasmtail/wasmtail/hub/store"
)

const (
	// knownMessages is how many messages one question to the store is about: one
	// for each would take a minute after a crash under load.
	knownMessages = 512
	// knownSlack widens the time range of a question, so that it fits the messages
	// that follow, too.
	knownSlack = int64(time.Hour)
)

// known is the answer of the store to one question: which records of a run of
// messages of one project it has.
type known struct {
	project        string
	seqMin, seqMax uint64
	start, end     int64
	records        map[uint64]map[int64]int // message, offset, how many
}

// fits reports whether k answers for a message whose records lie in the time
// range.
func (k *known) fits(project string, seq uint64, start, end int64) bool {
	return k.records != nil && k.project == project && k.seqMin <= seq && seq <= k.seqMax && k.start <= start && end <= k.end
}

// present returns how many records of a message are in the store already, by
// offset. It asks only below the high-water mark of the last run.
func (p *pass) present(ctx context.Context, seq uint64, at time.Time) (map[int64]int, error) {
	if seq > p.until || len(p.group.Logs) == 0 {
		return nil, nil
	}
	start, end := p.window(at)
	if p.known.fits(p.id.Project, seq, start, end) {
		return p.known.records[seq], nil
	}
	k := known{
		project: p.id.Project, seqMin: seq, seqMax: min(seq+knownMessages-1, p.until),
		start: start - knownSlack, end: end + knownSlack, records: make(map[uint64]map[int64]int),
	}
	if start == 0 && end == 0 {
		k.start, k.end, k.seqMax = 0, 0, seq // any time: once is enough
	}
	q := store.Query{
		Project: k.project, Start: k.start, End: k.end,
		LogsQL: fmt.Sprintf("%s:range[%d, %d]", FieldSeq, k.seqMin, k.seqMax),
		Pipes:  "| fields " + FieldSeq + ", " + FieldOffset,
	}
	if err := p.s.o.Querier.Run(ctx, q, k.add); err != nil {
		return nil, fmt.Errorf("cannot ask the store for the records of message %d: %w", seq, err)
	}
	p.known = k
	return k.records[seq], nil
}

// add takes one record of the answer.
func (k *known) add(row []store.Field) error {
	var seq uint64
	var offset int64
	for i := range row {
		var err error
		switch row[i].Name {
		case FieldSeq:
			seq, err = strconv.ParseUint(row[i].Value, 10, 64)
		case FieldOffset:
			offset, err = strconv.ParseInt(row[i].Value, 10, 64)
		}
		if err != nil {
			return err
		}
	}
	m := k.records[seq]
	if m == nil {
		m = make(map[int64]int)
		k.records[seq] = m
	}
	m[offset]++
	return nil
}

// window bounds the times under which the records of p.group can be filed. Zero
// means any.
func (p *pass) window(at time.Time) (start, end int64) {
	now := time.Now()
	if !inside(at.UnixNano(), now, p.s.o.Retention) {
		return 0, 0
	}
	start, end = at.UnixNano(), at.UnixNano()
	oldest := now.Add(-p.s.o.Retention - 48*time.Hour).UnixNano()
	for i := range p.group.Logs {
		t := int64(p.group.Logs[i].Time)*int64(time.Second) + int64(p.group.Logs[i].TimeNS)
		if t >= oldest && t <= now.Add(2*store.FutureMax).UnixNano() {
			start, end = min(start, t), max(end, t)
		}
	}
	return start - int64(time.Second), end + int64(time.Second)
}
