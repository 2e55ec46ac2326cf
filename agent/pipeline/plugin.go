// Package pipeline moves batches from inputs through processors to outputs,
// keeps the records of one source in order, and reports back what became of
// every batch.
package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasmtail/wasmtail/internal/record"
)

// ErrRejected is wrapped by Output.Send when no retry can save a payload.
var ErrRejected = errors.New("rejected by the receiver")

// RejectedError is an error of Output.Send that wraps ErrRejected and says which
// records of a payload were refused; the others are delivered.
type RejectedError struct {
	// Records are the refused ones, as lines of JSON with their reasons; nil if
	// the payload cannot be read.
	Records []byte
	Err     error
}

// Error implements error.
func (e *RejectedError) Error() string { return e.Err.Error() }

// Unwrap implements the errors package's contract.
func (e *RejectedError) Unwrap() []error { return []error{ErrRejected, e.Err} }

// ErrHeld is wrapped by Processor.Process when a batch must not go on before a
// processor can work, and the agent is being stopped: its bytes are read again.
var ErrHeld = errors.New("held back by a processor")

// Delivery is a batch and the promise to say what became of it.
type Delivery struct {
	// Batch is given away with the delivery.
	Batch *record.Batch
	// Done is called exactly once, from any goroutine: with nil when every
	// output has the batch or holds it durably, and with an error wrapping
	// ErrRejected when an output refused it for good (then it is acknowledged
	// all the same). On any other error the bytes must be read again.
	// It must not block.
	Done func(error)
}

// Emit gives a delivery to the pipeline. It blocks while the lane of the
// batch's source is full. On error (only that of ctx) the delivery was not
// taken: batch and Done stay with the caller.
type Emit func(ctx context.Context, d Delivery) error

// Framed gives on a batch that was made of size bytes of its source, and accounts for
// them in the ledger of its origin. acknowledged is told once, from any goroutine,
// whether the bytes need not be read again; it must not block. On error, that of ctx,
// the batch is released and nothing is accounted for: the bytes will be read again.
func (emit Emit) Framed(ctx context.Context, b *record.Batch, size int64, acknowledged func(bool)) error {
	records, framed := len(b.Records)+b.Filtered, &b.Origin.Ledger.Framed
	framed.Add(records, size)
	err := emit(ctx, Delivery{Batch: b, Done: func(err error) {
		acknowledged(err == nil || errors.Is(err, ErrRejected))
	}})
	if err != nil {
		b.Release()
		framed.Add(-records, -size)
		return fmt.Errorf("cannot emit a batch: %w", err)
	}
	return nil
}

// Input produces deliveries until ctx ends. Run waits for all it started.
type Input interface {
	Run(ctx context.Context, emit Emit) error
}

// Processor edits a batch in place: fields, times, marks, and which records
// stay (Batch.Keep). It keeps nothing of the batch. A processor instance
// belongs to one lane, so it needs no locks. A record that cannot be parsed is
// kept by Batch.Fail, and records that have failed before (record.Failed) are
// passed over by parsers. An error means the processor itself is broken, not a
// record: the batch then goes on as it is, and the error is counted; but for
// ErrHeld. ctx ends when the input is to stop.
//
// A processor may leave records at the end of a batch for the next one of the
// same origin: it takes them out of Records, sets End to where the first began,
// and puts them in front of the next batch, whose Start it sets to the same. Of a
// batch with Final it must leave none. Such a batch comes, empty, when nothing
// else does for a while. A processor with a Close method is closed by its lane.
type Processor interface {
	Process(ctx context.Context, b *record.Batch) error
}

// Encoder turns batches into payloads: pure, no I/O. It belongs to one lane.
type Encoder interface {
	// Encode appends the payload of b to dst. The result must not point into b.
	Encode(ctx context.Context, dst []byte, b *record.Batch) ([]byte, error)
}

// Output delivers payloads. One with a Close method is closed when it is used no
// more.
type Output interface {
	// NewEncoder returns an encoder for one lane of the named pipeline.
	NewEncoder(pipeline, logstore string) Encoder
	// Send makes one attempt. payload is lent for the call. Safe for
	// concurrent use. See ErrRejected; every other error is tried again.
	Send(ctx context.Context, payload []byte) error
}
