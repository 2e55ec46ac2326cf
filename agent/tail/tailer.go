// Package tail follows growing files and gives their records to a Sink.
//
// It promises: every complete record of every generation of a file that was
// there long enough to be seen is delivered at least once, in order within the
// generation, and without crashes exactly once, through renaming, truncation,
// copying, deletion and restarts. It does not promise order between
// generations, but reads an older one of the same file first; and it cannot see
// a generation that came and went between two looks at its directory.
//
// One goroutine, the watch, finds files and changes. Directories are compared by
// name and inode when the kernel hints that they changed, and periodically
// without a hint; open files are asked for their size, the more rarely the longer
// they have been quiet. Hints may be lost: they only make things faster, and
// growth is seen within quietLongest without them. Reader goroutines, one by default, read what the
// watch has queued; all generations of one path belong to one reader. There is
// no goroutine, and no buffer, for a file: an incomplete record stays in the
// file until it is complete.
//
// A generation is identified by device, inode, the digest of its first bytes and
// the digest of the bytes before the position (the marker). The marker is read
// together with the new bytes, so that truncation is noticed even when the file
// has grown beyond the position since. Its random name is durable before the
// first record is delivered.
//
// Memory: what a Sink is given is lent for the call. A quiet file costs less
// than a kilobyte and an open file descriptor.
package tail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// Tailer follows the files of one input. Make it with New.
type Tailer struct {
	config     Config
	patterns   Patterns
	store      *checkpoint.Store
	readers    []*reader
	log        logrus.FieldLogger
	mismatches metric.Int64Counter
	wake       chan struct{}          // holds 1: something has happened
	wrote      chan struct{}          // holds 1: files were written, see hints.wrote
	requests   chan chan []FileStatus // unbuffered

	reportMu sync.Mutex
	reports  []*generation
	folders  *folderGlobs // those that SetFolders has given since the last tick

	// Of the watch goroutine.
	hints       *hints
	readDir     func(path string, each func(name []byte, ino uint64, kind entryKind)) error
	statBuf     statBuffer
	head        [checkpoint.HeadBytesMax]byte
	scratch     []byte
	dirs        map[string]*directory
	byID        map[identity]*generation
	families    map[string][]*generation
	orphans     map[identity][]*checkpoint.Source
	orphanAt    int64
	ignored     map[identity]version
	ignoreMax   int // ignored is swept when it is larger
	newcomers   []*newcomer
	waiting     []*newcomer
	detached    []*generation
	closed      []*generation
	pending     []*generation
	headless    []*generation // wait for saveHeads
	notes       []string
	active      []*generation
	quiet       []*generation
	cursor      int
	written     map[string]bool // a spare for hints.takeWritten
	hintsLost   int64           // when hints were last lost
	failures    map[string]*failure
	alarms      map[string]int64
	open        int
	started     int64
	firstScan   bool
	nextDirs    int64
	nextBalance int64
	nextSweep   int64
	counters    Counters
	published   atomic.Pointer[Counters]
	since       map[string]int64               // by pattern: when it was first looked for
	fixed       struct{ include, exclude int } // how many of the patterns are the configuration's
	holding     bool                           // some folder is held
	known       map[string]bool                // of config.Keys: those of an earlier start
	running     atomic.Bool
	looked      atomic.Bool
	heldBytes   atomic.Int64  // of all files, see held
	done        chan struct{} // closed when the watch has ended
	final       []FileStatus
}

// version is how a file looked that was found not to be ours.
type version struct{ size, mtime int64 }

// New returns a tailer for config. It touches nothing yet.
func New(config Config, store *checkpoint.Store, log logrus.FieldLogger) (*Tailer, error) {
	config.setDefaults()
	patterns, err := ParsePatterns(config.Include, config.Exclude)
	if err != nil {
		return nil, err
	}
	if len(patterns.include)+len(config.Keys) == 0 {
		return nil, errors.New("cannot tail: include names no files")
	}
	t := &Tailer{
		config: config, patterns: patterns, store: store, log: log,
		wake: make(chan struct{}, 1), wrote: make(chan struct{}, 1), requests: make(chan chan []FileStatus),
		dirs: map[string]*directory{}, byID: map[identity]*generation{}, families: map[string][]*generation{},
		orphans: map[identity][]*checkpoint.Source{}, ignored: map[identity]version{}, written: map[string]bool{},
		failures: map[string]*failure{}, alarms: map[string]int64{},
		readDir: new(dirReader).read, done: make(chan struct{}),
	}
	t.fixed.include, t.fixed.exclude = len(patterns.include), len(patterns.exclude)
	if t.mismatches, err = telemetry.LedgerMismatch.Counter(); err != nil {
		return nil, fmt.Errorf("cannot make the metrics of a tailer: %w", err)
	}
	t.mismatches.Add(context.Background(), 0, metric.WithAttributes(attribute.String("pipeline", config.Pipeline))) // so that its first has a rate
	for range config.Readers {
		t.readers = append(t.readers, newReader(t))
	}
	return t, nil
}

// Run follows the files until ctx ends and gives their records to to. It returns
// when all its goroutines have ended and all files are closed. It is called once.
func (t *Tailer) Run(ctx context.Context, to Sink) error {
	t.start()
	t.running.Store(true)
	var group sync.WaitGroup
	group.Go(func() { t.hints.run(ctx) })
	for _, r := range t.readers {
		group.Go(func() { r.run(ctx, to) })
	}
	t.watch(ctx)
	group.Wait()
	t.stop()
	return context.Cause(ctx)
}

// start loads what is known about the files.
func (t *Tailer) start() {
	now := t.config.Now().UnixNano()
	t.started, t.firstScan, t.orphanAt = now, true, now
	t.hints = newHints(t.wake, t.wrote)
	t.since = patternsSince(t.store, t.config.Pipeline)
	t.known = map[string]bool{}
	for _, key := range t.config.Keys {
		t.known[key] = t.store.Noted(t.config.Pipeline, key)
	}
	for _, src := range t.store.Sources(t.config.Pipeline) {
		e := src.Entry()
		if e.Cursor != nil {
			continue // of another input that the pipeline had
		}
		id := identity{e.Dev, e.Ino}
		t.orphans[id] = append(t.orphans[id], src)
	}
	t.takeFolders()
	t.inherit()
}

func (t *Tailer) stop() {
	t.final = t.status()
	close(t.done)
	t.hints.close()
	for _, g := range t.byID {
		if size := g.size; size > g.acked() { // so that it is known should it be lost
			g.edit(func(e *checkpoint.Entry) { e.Size = size })
		}
	}
	t.bequeath()
	for _, g := range t.byID {
		t.closeFD(g)
	}
	for _, g := range t.closed {
		t.closeFD(g)
	}
	for _, n := range slices.Concat(t.waiting, t.newcomers) {
		t.drop(n)
	}
}

// watch looks for changes until ctx ends.
func (t *Tailer) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case reply := <-t.requests:
			reply <- t.status()
			continue
		case <-t.wrote:
			t.checkWritten(t.now())
			t.commit()
			continue
		case <-t.wake:
		case <-timer.C:
		}
		t.tick()
		timer.Reset(t.config.Linger)
	}
}

// report tells the watch that g is stuck, or that something else needs it.
func (t *Tailer) report(g *generation) {
	t.reportMu.Lock()
	t.reports = append(t.reports, g)
	t.reportMu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *Tailer) takeReports() []*generation {
	t.reportMu.Lock()
	defer t.reportMu.Unlock()
	reports := t.reports
	t.reports = nil
	return reports
}

// alarmInterval is how often one kind of alarm is logged.
const alarmInterval = int64(time.Minute)

// alarm logs what the user should know, each kind at a limited rate.
func (t *Tailer) alarm(kind, path string, err error) {
	now := t.config.Now().UnixNano()
	key := kind + "\x00" + path
	if last, ok := t.alarms[key]; ok && now-last < alarmInterval {
		return
	}
	if len(t.alarms) > 1000 {
		clear(t.alarms)
	}
	t.alarms[key] = now
	t.log.WithFields(logrus.Fields{"pipeline": t.config.Pipeline, "path": path}).WithError(err).Warn(kind)
}
