package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

// identify finds out whether the agent knows the file.
func (q *inquiry) identify() {
	q.life = nil
	found, err := q.known.identified(q.path)
	if err != nil {
		return // the gates before have said why
	}
	for i := range found {
		if found[i].pipeline == q.pipeline {
			q.life = &found[i]
		}
	}
}

// until asks the agent again until a condition holds or the time to wait is over.
func (q *inquiry) until(ctx context.Context, holds func() bool) {
	for deadline := time.Now().Add(q.wait); !holds() && time.Now().Before(deadline); {
		if pause(ctx) != nil {
			return
		}
		q.known.ask(ctx)
		if q.known.status == nil {
			return
		}
		q.identify()
	}
}

// gateCheckpoint: the agent has found it and reads on.
func gateCheckpoint(ctx context.Context, q *inquiry) (string, *cause) {
	if q.known.status != nil {
		q.until(ctx, func() bool {
			return q.life != nil && (q.life.Acked >= q.size() || q.isUnfinished()) || q.failingOutput() != nil
		})
	}
	l := q.life
	switch {
	case l == nil && q.known.status == nil:
		return "nothing is saved of it", nil
	case l == nil:
		return "", because(reasonNotSeen, "the agent runs, and has not found it")
	case l.State == "waiting":
		return "", because(reasonWaiting, "an older generation of it is read first, or the checkpoint cannot be saved")
	case q.known.status != nil && q.failingOutput() == nil && l.Acked < q.size() && q.isUnfinished():
		return "", because(reasonUnfinished, "byte %d and what follows is a line without an end", l.Acked)
	}
	return fmt.Sprintf("read to byte %d, acknowledged to %d of %d", l.Read, l.Acked, q.size()), nil
}

// unfinishedMax is how much of the end of a file is searched for a line end.
const unfinishedMax = 1 << 20

// isUnfinished reports whether all that was not read is the beginning of a line.
func (q *inquiry) isUnfinished() bool {
	rest := q.size() - q.life.Acked
	if rest > unfinishedMax || q.life.Read != q.life.Acked || tail.IsCompressed(q.path) {
		return false
	}
	f, err := os.Open(q.path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.NewSectionReader(f, q.life.Acked, rest))
	return err == nil && len(data) > 0 && !bytes.Contains(data, []byte{'\n'})
}

// ask asks the hub what it has of the file, once.
func (q *inquiry) ask(ctx context.Context) {
	if q.hub != nil || q.hubErr != nil || q.life == nil {
		return
	}
	if q.output, q.hub, q.hubErr = q.known.ledgerOutput(q.pipeline, q.endpoint); q.hubErr == nil {
		q.received, q.hubErr = q.hub.receivedOf(ctx, q.known.agentID, q.life.Generation)
	}
}

// outcomes are the records of the file by what became of them: since the agent
// started, or else of all that the hub has.
func (q *inquiry) outcomes(ctx context.Context) (parsed, failed, filtered int64) {
	if l := q.life; l != nil && l.Parsed+l.Failed+l.Filtered > 0 {
		return l.Parsed, l.Failed, l.Filtered
	}
	if q.ask(ctx); q.received != nil {
		return q.received.parsed, q.received.failed, q.received.filtered
	}
	return 0, 0, 0
}

// gateParser: the modules serve, and lines can be parsed.
func gateParser(ctx context.Context, q *inquiry) (string, *cause) {
	if s := q.known.status; s != nil {
		for i := range s.Modules {
			if m := &s.Modules[i]; m.Pipeline == q.pipeline && m.State != wasmhost.Serving {
				return "", because(reasonModule, "the module %s of pipeline %s is %s: %s", m.Path, q.pipeline, m.State, m.Reason)
			}
		}
	}
	parsed, failed, _ := q.outcomes(ctx)
	if failed > 0 && parsed == 0 {
		return "", q.unparsed(ctx, parsed, failed)
	}
	return fmt.Sprintf("%d parsed, %d failed", parsed, failed), nil
}

// unparsed is the cause that records failed, with the reason of the newest that
// the hub has.
func (q *inquiry) unparsed(ctx context.Context, parsed, failed int64) *cause {
	text := fmt.Sprintf("%d of %s could not be parsed", failed, several(parsed+failed, "record"))
	if last := q.lastError(ctx); last != "" {
		text += "; the last because of: " + last
	}
	return because(reasonUnparsed, "%s", text)
}

// lastError is why the newest record that failed did, "" if that is not known.
func (q *inquiry) lastError(ctx context.Context) string {
	if q.ask(ctx); q.hub == nil {
		return ""
	}
	now := time.Now()
	body, err := q.hub.get(ctx, "/api/v1/query", url.Values{
		"query": {`__wt_generation__:=` + strconv.Quote(q.life.Generation) + ` __error__:*`}, "limit": {"1"},
		"start": {now.AddDate(-1, 0, 0).Format(time.RFC3339)}, "end": {now.AddDate(0, 0, 1).Format(time.RFC3339)},
	})
	if err != nil {
		return ""
	}
	defer func() { _ = body.Close() }()
	var row struct {
		Error string `json:"__error__"`
	}
	if json.NewDecoder(body).Decode(&row) != nil {
		return ""
	}
	return row.Error
}

// gateFilter: not all of it is taken out by a rule.
func gateFilter(ctx context.Context, q *inquiry) (string, *cause) {
	parsed, failed, filtered := q.outcomes(ctx)
	if filtered > 0 && parsed+failed == 0 {
		return "", because(reasonFiltered, "a rule of pipeline %s took out all %s", q.pipeline, several(filtered, "record"))
	}
	if filtered > 0 {
		return several(filtered, "record") + " taken out by a rule", nil
	}
	return "nothing is taken out", nil
}

// failingOutput is the cause that an output of the pipeline does not deliver, nil
// if all do.
func (q *inquiry) failingOutput() *cause {
	for i := range q.known.status.Outputs {
		o := &q.known.status.Outputs[i]
		if o.Error == "" {
			continue
		}
		for _, name := range q.known.file.Pipelines[q.pipeline].Outputs {
			if name == o.Name {
				return because(reasonFailing, "output %s fails since %s: %s", o.Name, o.FailingSince.Local().Format(time.DateTime), o.Error)
			}
		}
	}
	return nil
}

// gateOutput: every output of the pipeline delivers.
func gateOutput(_ context.Context, q *inquiry) (string, *cause) {
	if q.known.status == nil {
		return "", nil
	}
	if c := q.failingOutput(); c != nil {
		return "", c
	}
	return strings.Join(q.known.file.Pipelines[q.pipeline].Outputs, ", ") + " delivers", nil
}

// gateRead: all of it is acknowledged, or nobody can go on with it.
func gateRead(_ context.Context, q *inquiry) (string, *cause) {
	l := q.life
	if q.known.status == nil || tail.IsCompressed(q.path) || l.Acked >= q.size() {
		return "", nil
	}
	for _, name := range q.known.file.Pipelines[q.pipeline].Outputs {
		if n := q.known.waitingBytes(name); n > 0 {
			return "", because(reasonQueued, "acknowledged to byte %d of %d, and %d bytes wait for output %s", l.Acked, q.size(), n, name)
		}
	}
	return "", because(reasonBehind, "read to byte %d, acknowledged to %d of %d", l.Read, l.Acked, q.size())
}

// gateHub: the hub has what was acknowledged.
func gateHub(ctx context.Context, q *inquiry) (string, *cause) {
	if q.life == nil {
		return "", nil
	}
	if q.ask(ctx); errors.Is(q.hubErr, errNoHub) {
		return q.hubErr.Error(), nil
	}
	lacks := q.lacking()
	for deadline := time.Now().Add(q.wait); q.hubErr == nil && lacks > 0 && time.Now().Before(deadline) && pause(ctx) == nil; {
		q.hub = nil
		q.ask(ctx)
		lacks = q.lacking()
	}
	waiting := q.known.waitingBytes(q.output)
	switch {
	case q.hubErr != nil && q.known.status == nil:
		return "not asked: " + q.hubErr.Error(), nil
	case q.hubErr != nil:
		return "", because(reasonUnreachable, "%v", q.hubErr)
	case lacks == 0:
		return fmt.Sprintf("has %s of it", several(q.received.stored, "record")), nil
	case waiting > 0 && q.known.status == nil:
		return fmt.Sprintf("lacks %s; %d wait on the disk", several(lacks, "byte"), waiting), nil
	case waiting > 0:
		return "", because(reasonQueued, "the hub lacks %s, and %d bytes wait for output %s", several(lacks, "byte"), waiting, q.output)
	}
	if q.known.remains != nil {
		if n, dir := q.known.remains.Rejected(q.output); n > 0 {
			c := because(reasonRejected, "the hub lacks %s, and it refused %s for good, which are in %s", several(lacks, "byte"), several(int64(n), "parcel"), dir)
			c.fix = "look into " + dir + ", and send what is there again by hand"
			return "", c
		}
	}
	c := because(reasonMissing, "the hub at %s lacks %s that were acknowledged", q.hub.endpoint, several(lacks, "byte"))
	c.fix = "wasmtail verify " + q.path + " names them; was the hub's data removed, or does output " + q.output + " send elsewhere?"
	return "", c
}

// lacking is how many of the acknowledged bytes the hub does not have.
func (q *inquiry) lacking() (n int64) {
	if q.received == nil {
		return 0
	}
	from := q.known.began(q.life, q.received.start)
	if from < 0 {
		from = max(0, q.received.start)
	}
	for _, s := range gaps(q.received.spans, from, q.life.Acked) {
		n += s.To - s.From
	}
	return n
}

// gateAgent: the agent runs.
func gateAgent(_ context.Context, q *inquiry) (string, *cause) {
	if q.known.status != nil {
		return "it runs", nil
	}
	return "", because(reasonNotRunning, "%v", q.known.down)
}

// gateParsed: no record failed. Those that did are at the hub, whole.
func gateParsed(ctx context.Context, q *inquiry) (string, *cause) {
	parsed, failed, _ := q.outcomes(ctx)
	if q.received != nil {
		parsed, failed = q.received.parsed, q.received.failed
	}
	if failed > 0 {
		return "", q.unparsed(ctx, parsed, failed)
	}
	return "", nil
}
