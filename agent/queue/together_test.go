package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// crowd is a queue that lanes fill and senders empty at the same time, while it
// goes to the disk and back again and again.
type crowd struct {
	q      *Queue
	budget *Budget

	mu   sync.Mutex
	got  map[uint64][]uint32
	left sync.WaitGroup // payloads that are not delivered
}

func newCrowd(t *testing.T, fs durable.FS) *crowd {
	c := &crowd{budget: NewBudget(1 << 30), got: map[uint64][]uint32{}}
	c.q = New(Options{
		BytesMax: 2 << 10, Senders: 4, Disk: &Disk{FS: fs, Dir: diskDir, Format: "test", Budget: c.budget},
		Lost:      func(l Loss) { t.Errorf("lost: %+v", l) },
		DiskFails: func(err error) { t.Errorf("the disk fails: %v", err) },
	})
	require.NoError(t, c.q.Open())
	return c
}

// fill puts the payloads of some streams by turns.
func (c *crowd) fill(t *testing.T, streams []uint64, each int) {
	lane := c.q.Lane()
	for n := range each {
		for _, stream := range streams {
			p := binary.BigEndian.AppendUint64(nil, stream)
			p = binary.BigEndian.AppendUint32(p, uint32(n))
			acked := false
			_, err := c.q.Put(context.Background(), lane, Entry{Payload: append(p, make([]byte, rand.IntN(200))...), Label: Label{Stream: stream}}, func(err error) {
				if acked || err != nil {
					t.Errorf("acknowledged again, or with an error: %v", err)
				}
				acked = true
			})
			if err != nil {
				t.Errorf("cannot put: %v", err)
			}
		}
	}
}

// send takes and delivers until ctx ends.
func (c *crowd) send(ctx context.Context) {
	for {
		l, err := c.q.Take(ctx)
		if err != nil {
			return
		}
		if rand.IntN(8) == 0 {
			l.Retry(Setback{Scope: Stream})
			continue
		}
		stream, n := binary.BigEndian.Uint64(l.Payload), binary.BigEndian.Uint32(l.Payload[8:])
		c.mu.Lock()
		c.got[stream] = append(c.got[stream], n)
		c.mu.Unlock()
		l.Release(nil)
		c.left.Done()
	}
}

// spill moves the memory to the disk, as when a lane has waited too long.
func (c *crowd) spill() {
	c.q.mu.Lock()
	may := !c.q.spilled && !c.q.moving
	c.q.moving = c.q.moving || may
	c.q.mu.Unlock()
	if may {
		c.q.spill()
	}
}

// TestDisk_AllAtOnce: whatever meets whatever, each payload is delivered once, and
// in order, and nothing is left on the disk.
func TestDisk_AllAtOnce(t *testing.T) {
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			const lanes, streams, each = 3, 4, 30
			c := newCrowd(t, durable.NewMem())
			c.left.Add(lanes * streams * each)
			ctx, stop := context.WithCancel(context.Background())
			var fillers, others sync.WaitGroup
			for lane := range uint64(lanes) {
				fillers.Go(func() { c.fill(t, []uint64{lane, lane + 10, lane + 20, lane + 30}, each) })
			}
			for range 4 {
				others.Go(func() { c.send(ctx) })
			}
			spilling, stopSpilling := context.WithCancel(ctx)
			others.Go(func() {
				for spilling.Err() == nil {
					c.spill()
					runtime.Gosched()
				}
			})
			fillers.Wait()
			stopSpilling()
			c.left.Wait()
			synctest.Wait()
			require.Zero(t, c.q.DiskBytes(), "an empty disk cache has no files")
			require.Zero(t, c.budget.Used())
			require.Zero(t, c.q.Bytes())
			c.q.Close()
			stop()
			others.Wait()
			c.q.Shut(errors.New("stopped"))
			for stream, got := range c.got {
				require.Len(t, got, each, "stream %d", stream)
				for i, n := range got {
					require.EqualValues(t, i, n, "stream %d: %v", stream, got)
				}
			}
		})
	}
}

// TestDisk_AFailedNoteIsNoSecondDelivery: within a run the queue knows by itself
// what it has delivered.
func TestDisk_AFailedNoteIsNoSecondDelivery(t *testing.T) {
	r := newRig(t)
	r.send(1)
	r.send(2)
	out := r.take()
	r.spill()
	r.fs.Fault = func(_ int, op, _ string) error {
		if op == "create" {
			return errors.New("no space left on device")
		}
		return nil
	}
	r.deliver(out)
	r.fs.Fault = nil
	r.drain()
	require.Zero(t, r.complete())
	require.Zero(t, r.q.DiskBytes())
	require.False(t, r.q.spilled)
}

// lives are runs of a queue one after the other on the same disk.
type lives struct {
	t     *testing.T
	fs    *durable.Mem
	mu    sync.Mutex
	acked map[uint64]map[int]bool
	got   map[uint64]int // so many of each stream
}

// put fills a lane with the payloads of a stream, from the first one on that is
// not acknowledged.
func (v *lives) put(ctx context.Context, c *crowd, lane int, stream uint64) {
	v.mu.Lock()
	from := 0
	for v.acked[stream][from] {
		from++
	}
	v.mu.Unlock()
	for n := from; ; n++ {
		p := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, stream), uint32(n))
		_, err := c.q.Put(ctx, lane, Entry{Payload: append(p, make([]byte, 500)...), Label: Label{Stream: stream}}, func(err error) {
			if err == nil {
				v.mu.Lock()
				v.acked[stream][n] = true
				v.mu.Unlock()
			}
		})
		if err != nil {
			return
		}
	}
}

// send delivers until stopped says so, or until there is nothing and ctx has ended.
func (v *lives) send(ctx context.Context, c *crowd, stopped func() bool) {
	for !stopped() {
		l, err := c.q.Take(ctx)
		if err != nil {
			return
		}
		stream, n := binary.BigEndian.Uint64(l.Payload), int(binary.BigEndian.Uint32(l.Payload[8:]))
		v.mu.Lock()
		assert.LessOrEqual(v.t, n, v.got[stream], "stream %d has a gap", stream)
		v.got[stream] = max(v.got[stream], n+1)
		v.mu.Unlock()
		l.Release(nil)
	}
}

// live runs a queue that is stopped while lanes put and senders send.
func (v *lives) live() {
	c := newCrowd(v.t, v.fs)
	hard, stop := context.WithCancel(context.Background())
	var fillers, senders sync.WaitGroup
	for stream := range uint64(4) {
		lane := c.q.Lane()
		fillers.Go(func() { v.put(hard, c, lane, stream) })
	}
	for range 2 {
		senders.Go(func() { v.send(hard, c, func() bool { return hard.Err() != nil }) })
	}
	for range rand.IntN(6) {
		c.spill()
		runtime.Gosched()
	}
	stop()
	senders.Wait()
	c.q.Close()
	c.q.Shut(errors.New("stopped"))
	fillers.Wait()
}

// TestDisk_StopsInTheMiddle: an outlet whose time is up ends while lanes still put.
// What was acknowledged by then is sent by the next start.
func TestDisk_StopsInTheMiddle(t *testing.T) {
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			v := &lives{t: t, fs: durable.NewMem(), acked: map[uint64]map[int]bool{}, got: map[uint64]int{}}
			for stream := range uint64(4) {
				v.acked[stream] = map[int]bool{}
			}
			for range 4 {
				v.live()
			}
			c := newCrowd(t, v.fs)
			over, cancel := context.WithCancel(context.Background())
			cancel()
			v.send(over, c, func() bool { return false })
			for stream, acked := range v.acked {
				for n := range acked {
					require.Less(t, n, v.got[stream], "stream %d: acknowledged and never delivered", stream)
				}
			}
			require.Zero(t, c.budget.Used())
		})
	}
}

// hooked is a disk on which something happens before each write to a segment.
type hooked struct {
	*durable.Mem
	before func() error
}

type hookedFile struct {
	durable.File
	fs *hooked
}

func (f *hooked) Create(name string) (durable.File, error) {
	file, err := f.Mem.Create(name)
	return hookedFile{file, f}, err
}

func (f hookedFile) Write(p []byte) (int, error) {
	if f.fs.before != nil {
		if err := f.fs.before(); err != nil {
			return 0, err
		}
	}
	return f.File.Write(p)
}

// TestDisk_AnEmptyDiskThatFailsIsNotWaitedFor: the last payload on the disk is
// delivered while another is on its way there, and that cannot be written.
func TestDisk_AnEmptyDiskThatFailsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		fs := &hooked{Mem: r.fs}
		r.change = func(d *Disk) { d.FS = fs }
		r.start()
		r.send(1)
		out := r.take()
		r.spill()
		fs.before = func() error {
			if out != nil {
				l := out
				out = nil
				r.deliver(l)
			}
			return errors.New("input/output error")
		}
		r.patience = time.Minute
		r.send(2)
		require.NotEmpty(t, r.failures)
		require.Zero(t, r.budget.Used(), "what is done takes no room")
		r.drain()
		require.Equal(t, map[uint64][]int{1: {0}, 2: {0}}, r.got)
	})
}

// asking is a context that counts how often it is looked at, and ends when that
// is too often.
type asking struct {
	context.Context
	end   context.CancelFunc
	times int
}

func (c *asking) Done() <-chan struct{} {
	if c.times++; c.times > 100 {
		c.end()
	}
	return c.Context.Done()
}

// TestDisk_FullForOneWaits: there is room for the payload, and not for what
// stands before it on the disk. A lane then looks once a second.
func TestDisk_FullForOneWaits(t *testing.T) {
	for _, spilled := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.q.o.BytesMax = 10
			payload := make([]byte, 1000)
			for i := range payload {
				payload[i] = byte(rand.IntN(256))
			}
			r.send(1)
			r.budget.SetMax(1000 + r.q.Bytes() + 10)
			if spilled {
				r.budget.SetMax(1 << 20)
				r.spill()
				r.budget.SetMax(r.budget.Used() + 1000 + 10)
			}
			limited, end := context.WithCancel(t.Context())
			defer end()
			ctx := &asking{Context: limited, end: end}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, err := r.q.Put(ctx, r.lane, Entry{Payload: payload, Label: r.label(2, 0)}, func(error) {})
				assert.NoError(t, err)
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			require.LessOrEqual(t, ctx.times, 62)
			r.drain()
			<-ended
		})
	}
}
