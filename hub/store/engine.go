package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// halfCount is two: one half takes rows, the other settles.
const halfCount = 2

// flushInterval is how long the engine keeps rows in memory: its smallest.
const flushInterval = time.Second

// indexSettle is how long after the rows the engine's index of streams may
// still be in memory: three of its flush intervals.
const indexSettle = 3 * flushInterval

// pollInterval is how often a half is asked whether it has settled.
const pollInterval = 50 * time.Millisecond

// Options of the engine inside the process.
type Options struct {
	// Dir is the directory of the store. It is created with mode 0700.
	Dir string
	// Retention is the age at which the days of records are deleted; at least
	// one day. The age is that of the record's time.
	Retention time.Duration
	// DiskBytesMax bounds the disk space; the oldest days are deleted first, the
	// last two never. 0 means no bound.
	DiskBytesMax int64
	// FreeBytesMin is the free disk space below which writing fails with ErrFull.
	FreeBytesMin int64
	// MemoryBytesMax is for caches, and for what queries hold to group, sort or
	// count: one that needs more than two fifths of it ends with an error. 0 is a
	// quarter of the machine's memory. It is that of the first Open of a process.
	MemoryBytesMax int64
}

// ErrDamaged says that files of the store cannot be read.
var ErrDamaged = errors.New("the store is damaged")

// Engine is the store inside the process.
type Engine struct {
	halves [halfCount]*logstorage.Storage

	mu     sync.RWMutex // guards closed: held for reading by every user
	closed bool

	// Used by the writing goroutine only.
	active int
	dirty  bool
}

// flags parses the empty command line once: the engine reads global flags, and
// refuses to run before they are parsed.
var flags = sync.OnceValue(func() error {
	if err := flag.Set("memory.allowedPercent", "25"); err != nil {
		return fmt.Errorf("cannot bound the engine's memory: %w", err)
	}
	// Its format stays the default one: with JSON it ends the process at a fault
	// of the disk, otherwise it panics, and a panic can be turned into an error.
	if err := flag.Set("loggerLevel", "WARN"); err != nil {
		return fmt.Errorf("cannot set the engine's log level: %w", err)
	}
	if flag.Parsed() {
		return nil
	}
	return flag.CommandLine.Parse(nil)
})

// Open opens the store in o.Dir, and creates it if it is not there. Close
// releases it. A directory is open in one process at a time.
func Open(o Options) (e *Engine, err error) {
	if err := flags(); err != nil {
		return nil, err
	}
	if o.MemoryBytesMax > 0 {
		if err := flag.Set("memory.allowedBytes", strconv.FormatInt(o.MemoryBytesMax, 10)); err != nil {
			return nil, fmt.Errorf("cannot bound the engine's memory: %w", err)
		}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil { // faults name files by it
		return nil, fmt.Errorf("cannot find the store: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the store's directory: %w", err)
	}
	e = &Engine{}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot open the store in %s: %v", o.Dir, p)
			if damaged(o.Dir).MatchString(err.Error()) {
				err = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			_ = e.closeHalves() // the first fault is the one to report
			e = nil
		}
	}()
	for i := range e.halves {
		e.halves[i] = logstorage.MustOpenStorage(filepath.Join(o.Dir, string(rune('a'+i))), &logstorage.StorageConfig{
			Retention:              o.Retention,
			MaxDiskSpaceUsageBytes: o.DiskBytesMax / halfCount,
			FlushInterval:          flushInterval,
			FutureRetention:        FutureMax + 24*time.Hour, // days are whole: leave a day of room
			MinFreeDiskSpaceBytes:  o.FreeBytesMin,
		})
	}
	return e, nil
}

// Close waits for running queries, writes what is in memory to disk and stops
// the engine's goroutines.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	return e.closeHalves()
}

func (e *Engine) closeHalves() (err error) {
	for _, h := range e.halves {
		if h == nil {
			continue
		}
		err = errors.Join(err, guarded("close the store", h.MustClose))
	}
	return err
}

// guarded calls f and turns a panic of the engine, its way to report a fault of
// the disk, into an error.
func guarded(verb string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot %s: %v", verb, p)
		}
	}()
	f()
	return nil
}

var errClosed = errors.New("the store is closed")

// Write implements Writer.
func (e *Engine) Write(_ context.Context, rows *Rows) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return errClosed
	}
	h := e.halves[e.active]
	if h.IsReadOnly() {
		return ErrFull
	}
	e.dirty = true
	return guarded("write to the store", func() { h.MustAddRows(rows.lr) })
}

// Flush implements Writer: it makes rows visible at once, not durable.
func (e *Engine) Flush(context.Context) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return errClosed
	}
	if !e.dirty {
		return nil
	}
	e.dirty = false
	return guarded("flush the store", e.halves[e.active].DebugFlush)
}

// Seal implements Writer.
func (e *Engine) Seal(ctx context.Context) (func(context.Context) error, error) {
	if err := e.Flush(ctx); err != nil {
		return nil, err
	}
	sealed := e.active
	other := (e.active + 1) % halfCount
	if err := e.settle(ctx, other, time.Time{}); err != nil {
		return nil, err
	}
	e.active = other
	at := time.Now()
	return func(ctx context.Context) error { return e.settle(ctx, sealed, at.Add(indexSettle)) }, nil
}

// settle waits until a half holds no rows in memory, and until the time has
// come.
func (e *Engine) settle(ctx context.Context, half int, until time.Time) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		n, err := e.inMemory(half)
		if err != nil {
			return err
		}
		if n == 0 && !time.Now().Before(until) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for the store to reach the disk: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (e *Engine) inMemory(half int) (uint64, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return 0, errClosed
	}
	var st logstorage.StorageStats
	e.halves[half].UpdateStats(&st)
	return st.InmemoryRowsCount, nil
}

// Usage is what the store takes and holds.
type Usage struct {
	Rows, DiskBytes, RawBytes uint64
	// Dropped rows had a time outside of what the store keeps.
	Dropped uint64
	Full    bool
}

// Usage returns what the store takes and holds.
func (e *Engine) Usage() Usage {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var u Usage
	if e.closed {
		return u
	}
	for _, h := range e.halves {
		var st logstorage.StorageStats
		h.UpdateStats(&st)
		u.Rows += st.RowsCount()
		u.DiskBytes += st.IndexdbSizeBytes + st.CompressedSmallPartSize + st.CompressedBigPartSize
		u.RawBytes += st.UncompressedInmemorySize + st.UncompressedSmallPartSize + st.UncompressedBigPartSize
		u.Dropped += st.RowsDroppedTooBigTimestamp + st.RowsDroppedTooSmallTimestamp
		u.Full = u.Full || st.IsReadOnly
	}
	return u
}

// Run implements Querier.
func (e *Engine) Run(ctx context.Context, q Query, emit func(row []Field) error) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return errClosed
	}
	lq, err := parse(&q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := rowEmitter{emit: emit, fail: cancel}
	err = e.run(ctx, []logstorage.TenantID{tenantOf(q.Project)}, lq, out.block)
	if out.err != nil {
		return out.err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("cannot run the query: %w", err)
	}
	return nil
}

// parse builds the engine's query.
func parse(q *Query) (lq *logstorage.Query, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrQuery, p)
		}
	}()
	text, err := q.text()
	if err != nil {
		return nil, err
	}
	lq, err = logstorage.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if q.Filter != "" {
		f, err := logstorage.ParseFilter(q.Filter)
		if err != nil {
			return nil, fmt.Errorf("%w: filter: %w", ErrQuery, err)
		}
		lq.AddExtraFilters(f)
	}
	if q.Start != 0 || q.End != 0 {
		lq.AddTimeFilter(q.Start, q.End-1)
	}
	return lq, nil
}

// run spreads a query over the halves as the engine spreads one over the nodes
// of a cluster.
func (e *Engine) run(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
	runner, err := logstorage.NewNetQueryRunner(ctx, tenants, q, e.run, write)
	if err != nil {
		return err
	}
	search := func(stop <-chan struct{}, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
		return e.search(stop, tenants, q, write)
	}
	return runner.Run(ctx, q.GetConcurrency(), search)
}

func (e *Engine) search(stop <-chan struct{}, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var halves sync.WaitGroup
	defer halves.Wait()
	done := make(chan struct{})
	defer close(done)
	halves.Go(func() {
		select {
		case <-stop:
			cancel()
		case <-done:
		}
	})
	var errs [halfCount]error
	var searches sync.WaitGroup
	// The engine sizes its tables by the number of workers: ids stay below it,
	// and one id is used by one goroutine at a time.
	var locks [halfCount]sync.Mutex
	workers := q.GetConcurrency()
	for i, h := range e.halves {
		worker := i % workers
		searches.Go(func() {
			errs[i] = h.RunQuery(ctx, tenants, q, func(_ uint, db *logstorage.DataBlock) {
				locks[worker].Lock()
				defer locks[worker].Unlock()
				write(uint(worker), db)
			})
		})
	}
	searches.Wait()
	return errors.Join(errs[:]...)
}

// rowEmitter turns blocks of columns into rows, one call at a time.
type rowEmitter struct {
	mu   sync.Mutex
	row  []Field
	emit func(row []Field) error
	fail context.CancelCauseFunc
	err  error
}

func (w *rowEmitter) block(_ uint, db *logstorage.DataBlock) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range db.RowsCount() {
		if w.err != nil {
			return
		}
		w.row = w.row[:0]
		for _, c := range db.Columns {
			if v := c.Values[i]; v != "" {
				w.row = append(w.row, Field{Name: c.Name, Value: v})
			}
		}
		if err := w.emit(w.row); err != nil {
			w.err = err
			w.fail(err)
		}
	}
}
