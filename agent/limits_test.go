package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/record"
)

// once is an input of one delivery.
type once struct {
	d   pipeline.Delivery
	err error // of emit
}

func (o *once) Run(ctx context.Context, emit pipeline.Emit) error {
	o.err = emit(ctx, o.d)
	return nil
}

// numbered is a batch of n records of ten bytes each, from byte 5 on.
func numbered(n int) *record.Batch {
	b := record.Get(&record.Origin{Ledger: new(record.Ledger)})
	b.Start, b.End, b.ReadTime, b.Final, b.Filtered = 5, int64(5+10*n), 7, true, 2
	for i := range n {
		r := b.Add(fmt.Appendf(nil, "record %02d", i))
		r.Offset, r.Size = int64(5+10*i), 10
	}
	return b
}

// TestGated_PiecesAreTheBatch: whatever is allowed at once, the pieces have the
// records and the range of the batch, and the word of the worst of them is its
// word.
func TestGated_PiecesAreTheBatch(t *testing.T) {
	const records = 20
	worst := errors.New("read it again")
	for _, allowed := range []int{1, 10, 35, 100, 199, 200} {
		for _, words := range [][]error{{nil}, {pipeline.ErrRejected}, {nil, worst, pipeline.ErrRejected}} {
			var got []error
			in := &once{d: pipeline.Delivery{Batch: numbered(records), Done: func(err error) { got = append(got, err) }}}
			end, seen, filtered, pieces := int64(5), 0, 0, []func(error){}
			err := gated{Input: in, wait: func(_ context.Context, bytes int) (int, error) { return min(bytes, allowed), nil }}.Run(t.Context(),
				func(_ context.Context, d pipeline.Delivery) error {
					b := d.Batch
					require.Equal(t, end, b.Start)
					require.LessOrEqual(t, b.End-b.Start, int64(max(10, allowed)))
					require.EqualValues(t, 7, b.ReadTime)
					for i := range b.Records {
						require.Equal(t, fmt.Sprintf("record %02d", seen), string(b.Records[i].Raw))
						require.Equal(t, b.Records[i].Raw, b.Records[i].Fields[0].Value)
						require.EqualValues(t, 5+10*seen, b.Records[i].Offset)
						seen++
					}
					end, filtered = b.End, filtered+b.Filtered
					require.Equal(t, seen == records, b.Final)
					pieces = append(pieces, d.Done)
					b.Release()
					return nil
				})
			require.NoError(t, errors.Join(err, in.err))
			require.Equal(t, records, seen)
			require.Equal(t, 2, filtered)
			require.EqualValues(t, 5+10*records, end)
			require.Empty(t, got, "nothing is delivered yet")
			var want error
			for i, done := range pieces {
				word := words[i%len(words)]
				if want == nil || word != nil && errors.Is(want, pipeline.ErrRejected) {
					want = word
				}
				done(word)
			}
			require.Equal(t, []error{want}, got)
		}
	}
}

// TestGated_AStop: before the first piece the batch stays with the input; what was
// begun is given away to its end, so that no part of it comes twice.
func TestGated_AStop(t *testing.T) {
	for _, before := range []int{0, 1, 2} {
		ctx, stop := context.WithCancel(t.Context())
		waits, records := 0, 0
		in := &once{d: pipeline.Delivery{Batch: numbered(20), Done: func(error) {}}}
		err := gated{Input: in, wait: func(ctx context.Context, _ int) (int, error) {
			if waits == before {
				stop()
			}
			waits++
			return 30, ctx.Err()
		}}.Run(ctx, func(ctx context.Context, d pipeline.Delivery) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			records += len(d.Batch.Records)
			d.Batch.Release()
			d.Done(nil)
			return nil
		})
		require.NoError(t, err)
		if before == 0 {
			require.ErrorIs(t, in.err, context.Canceled)
			require.Len(t, in.d.Batch.Records, 20)
			continue
		}
		require.NoError(t, in.err)
		require.Equal(t, 20, records)
	}
}
