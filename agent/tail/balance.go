package tail

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/internal/record"
)

// balanceInterval is how often the sums of every generation are checked.
const balanceInterval = int64(5 * 1e9)

// balances checks the sums of all generations that are at rest.
func (t *Tailer) balances(now int64) {
	if now < t.nextBalance {
		return
	}
	t.nextBalance = now + balanceInterval
	for _, g := range t.byID {
		t.balance(g)
	}
}

// balance checks the sums of g. The first that do not agree are remembered, and
// reported once: they stay wrong.
func (t *Tailer) balance(g *generation) {
	if g.mismatch != "" {
		return
	}
	if g.mismatch = g.imbalance(); g.mismatch == "" {
		return
	}
	t.log.WithField("pipeline", t.config.Pipeline).WithField("path", g.path).WithField("generation", g.origin.Generation).
		WithError(errors.New(g.mismatch)).Error("the ledger of a file does not add up: this is a fault of the agent, please report it")
	if t.mismatches != nil {
		t.mismatches.Add(context.Background(), 1, metric.WithAttributes(attribute.String("pipeline", t.config.Pipeline)))
	}
}

// imbalance says which sums of g do not agree, "" if all do. That can be told
// only while nothing of it is under way, and not after bytes were read again: they
// were counted twice. Of the watch goroutine.
func (g *generation) imbalance() string {
	if !g.isIdle() || g.source == nil || g.rewind.Load() || g.reread.Load() {
		return ""
	}
	acked, _, open := g.source.Position()
	read := g.read.Load()
	if open > 0 || acked != read {
		return ""
	}
	return unequal(g.origin.Ledger, read-g.base)
}

// unequal compares the sums of a ledger with each other, and with the bytes that
// were read. A ledger in which nobody counts is not compared.
func unequal(l *record.Ledger, read int64) string {
	framed, reshaped, acked := l.Framed.Records.Load(), l.Reshaped.Load(), l.Acked.Records.Load()
	sent, sentBytes := l.Sent.Records.Load(), l.Sent.Bytes.Load()
	became := l.Parsed.Records.Load() + l.Failed.Records.Load() + l.Filtered.Records.Load()
	bytes := l.Parsed.Bytes.Load() + l.Failed.Bytes.Load() + l.Filtered.Bytes.Load()
	switch framedBytes, ackedBytes := l.Framed.Bytes.Load(), l.Acked.Bytes.Load(); {
	case framed|became|acked|bytes|ackedBytes == 0:
		return ""
	case framed+reshaped != became:
		return fmt.Sprintf("%d records were framed and %d added by modules, but %d were parsed, failed or filtered", framed, reshaped, became)
	case sent != framed || sentBytes != read:
		return fmt.Sprintf("%d records and %d bytes were framed and read, but %d and %d given to the outputs", framed, read, sent, sentBytes)
	case acked != framed:
		return fmt.Sprintf("%d records were framed, but %d acknowledged", framed, acked)
	case bytes != read:
		return fmt.Sprintf("%d bytes were read, but %d were parsed, failed or filtered", read, bytes)
	case ackedBytes != read:
		return fmt.Sprintf("%d bytes were read, but %d acknowledged", read, ackedBytes)
	case framedBytes > read:
		return fmt.Sprintf("%d bytes were read, but %d framed", read, framedBytes)
	}
	return ""
}
