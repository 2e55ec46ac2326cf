package stream

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is what the hub has of one file generation in one log store.
type Entry struct {
	Agent      string `json:"agent"`
	Hostname   string `json:"hostname"`
	Pipeline   string `json:"pipeline"`
	Project    string `json:"project"`
	Logstore   string `json:"logstore"`
	Path       string `json:"path"`
	Generation string `json:"generation"`
	// Routed is true when the pipeline sends only some records to this log store:
	// what is between the ranges went elsewhere, and is not missing.
	Routed bool `json:"routed,omitempty"`
	// Ranges are the bytes of the file that have arrived.
	Ranges Ranges `json:"ranges"`
	// Parsed, Failed and Filtered are records by outcome, as the agent counted
	// them. Filtered is in proportion to the bytes for a batch of which a part
	// had arrived before.
	Parsed   int64 `json:"parsed"`
	Failed   int64 `json:"failed"`
	Filtered int64 `json:"filtered"`
	// Stored counts records in the store.
	Stored int64 `json:"stored"`
	// Repeated counts batches of which all or a part had arrived before, and
	// DoubleBytes the bytes of the file that were cut off them. What came within
	// the last second before a crash of the hub is not in them.
	Repeated    int64 `json:"repeated_batches"`
	DoubleBytes int64 `json:"double_bytes"`
	// First and Last are when the first and the last batch arrived.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Seq is the last message of the stream that is counted here: what a restart
	// reads again is not counted again.
	Seq uint64 `json:"seq"`
}

// Logstore is what the hub has of one log store.
type Logstore struct {
	Project  string `json:"project"`
	Logstore string `json:"logstore"`
	// Records and Bytes (names and values) were written since it was made.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// Last is when the last record arrived.
	Last time.Time `json:"last"`
	Seq  uint64    `json:"seq"`
}

// Totals sums up the ledger.
type Totals struct {
	ReadRecords  int64 `json:"read_records"`
	Parsed       int64 `json:"parsed"`
	Failed       int64 `json:"failed"`
	Filtered     int64 `json:"filtered"`
	Stored       int64 `json:"stored"`
	Repeated     int64 `json:"repeated"`
	ReadBytes    int64 `json:"read_bytes"`
	MissingBytes int64 `json:"missing_bytes"`
	DoubleBytes  int64 `json:"double_bytes"`
}

// ledger is the state that outlives the stream's messages. The consumer changes
// it, everyone reads it.
type ledger struct {
	mu        sync.RWMutex
	entries   map[string]*Entry    // by entryKey
	logstores map[string]*Logstore // by logstoreKey
	dirty     map[string]any       // keys that changed since the last snapshot
	early     map[string]doubles   // by entryKey: of batches whose first copy is not counted yet
}

// doubles are what came more than once of a generation.
type doubles struct{ batches, bytes int64 }

func newLedger() *ledger {
	return &ledger{
		entries:   make(map[string]*Entry),
		logstores: make(map[string]*Logstore),
		dirty:     make(map[string]any),
		early:     make(map[string]doubles),
	}
}

// Prefixes of the keys in the bucket.
const (
	entryPrefix    = "e."
	logstorePrefix = "l."
)

// bucketKey names parts of any bytes in the letters that a bucket allows.
func bucketKey(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + hex.EncodeToString(sum[:16])
}

func entryKey(id *Identity) string {
	return bucketKey(entryPrefix, id.Project, id.Logstore, id.Agent, id.Pipeline, id.Generation)
}

func logstoreKey(project, logstore string) string {
	return bucketKey(logstorePrefix, project, logstore)
}

// load takes one stored key and value.
func (l *ledger) load(key string, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case strings.HasPrefix(key, entryPrefix):
		e := &Entry{}
		if err := json.Unmarshal(value, e); err != nil {
			return fmt.Errorf("cannot read the ledger's entry %s: %w", key, err)
		}
		l.entries[key] = e
	case strings.HasPrefix(key, logstorePrefix):
		s := &Logstore{}
		if err := json.Unmarshal(value, s); err != nil {
			return fmt.Errorf("cannot read the ledger's log store %s: %w", key, err)
		}
		l.logstores[key] = s
	}
	return nil
}

// snapshot returns what changed since the last one, encoded.
func (l *ledger) snapshot() (map[string][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string][]byte, len(l.dirty))
	for key, v := range l.dirty {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("cannot encode the ledger: %w", err)
		}
		out[key] = text
	}
	clear(l.dirty)
	return out, nil
}

// covers reports whether a batch has arrived before.
func (l *ledger) covers(id *Identity) bool {
	if !id.HasRange {
		return false
	}
	key := entryKey(id)
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.entries[key]
	return e != nil && e.Ranges.Covers(id.Start, id.End)
}

// open returns what of a batch has not arrived before, and false if message seq
// is counted already.
func (l *ledger) open(id *Identity, seq uint64) (missing Ranges, fresh bool) {
	key := entryKey(id)
	l.mu.RLock()
	defer l.mu.RUnlock()
	e := l.entries[key]
	if e == nil {
		return Ranges{{id.Start, id.End}}, true
	}
	if seq <= e.Seq {
		return nil, false
	}
	return e.Ranges.Missing(id.Start, id.End), true
}

// logstoreSeq returns the last message that a log store has counted.
func (l *ledger) logstoreSeq(project, logstore string) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if s := l.logstores[logstoreKey(project, logstore)]; s != nil {
		return s.Seq
	}
	return 0
}

// outcome is what became of one batch.
type outcome struct {
	parsed, failed, filtered, stored, bytes int64
	repeated                                bool
	double                                  int64 // bytes of the file that had arrived before
}

// record counts a batch.
func (l *ledger) record(id *Identity, seq uint64, at time.Time, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	skey := logstoreKey(id.Project, id.Logstore)
	s := l.logstores[skey]
	if s == nil {
		s = &Logstore{Project: id.Project, Logstore: id.Logstore}
		l.logstores[skey] = s
	}
	if seq > s.Seq {
		s.Records += o.stored
		s.Bytes += o.bytes
		s.Last, s.Seq = at, seq
		l.dirty[skey] = s
	}
	if !id.HasRange {
		return
	}
	key := entryKey(id)
	e := l.entries[key]
	if e == nil {
		e = &Entry{
			Agent: id.Agent, Pipeline: id.Pipeline, Project: id.Project, Logstore: id.Logstore,
			Generation: id.Generation, First: at,
		}
		l.entries[key] = e
	}
	e.Hostname, e.Path, e.Routed = id.Hostname, id.Path, id.Routed
	e.Ranges = e.Ranges.Add(id.Start, id.End)
	e.Parsed += o.parsed
	e.Failed += o.failed
	e.Filtered += o.filtered
	e.Stored += o.stored
	if o.repeated {
		e.Repeated++
		e.DoubleBytes += o.double
	}
	if d, ok := l.early[key]; ok {
		e.Repeated += d.batches
		e.DoubleBytes += d.bytes
		delete(l.early, key)
	}
	e.Last, e.Seq = at, seq
	l.dirty[key] = e
}

// repeat counts a batch that was answered without a new message.
func (l *ledger) repeat(id *Identity) {
	if !id.HasRange {
		return
	}
	key, size := entryKey(id), id.End-id.Start
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil {
		e.Repeated++
		e.DoubleBytes += size
		l.dirty[key] = e
		return
	}
	d := l.early[key]
	l.early[key] = doubles{d.batches + 1, d.bytes + size}
}

// unsaved reports whether something has changed since the last snapshot.
func (l *ledger) unsaved() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.dirty) > 0
}

// create makes a log store known; false if it was.
func (l *ledger) create(project, logstore string) ([]byte, bool, error) {
	key := logstoreKey(project, logstore)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logstores[key] != nil {
		return nil, false, nil
	}
	s := &Logstore{Project: project, Logstore: logstore}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, false, fmt.Errorf("cannot encode the log store: %w", err)
	}
	l.logstores[key] = s
	return text, true, nil
}

// has reports whether a log store is known.
func (l *ledger) has(project, logstore string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.logstores[logstoreKey(project, logstore)] != nil
}

// stores returns the log stores of a project; all projects if it is empty.
func (l *ledger) stores(project string) []Logstore {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := []Logstore{}
	for _, s := range l.logstores {
		if project == "" || s.Project == project {
			out = append(out, *s)
		}
	}
	slices.SortFunc(out, func(a, b Logstore) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Logstore, b.Logstore))
	})
	return out
}

// replace puts the content of n in the place of l's. Log stores that were made
// in the meantime stay.
func (l *ledger) replace(n *ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, s := range l.logstores {
		if n.logstores[key] == nil {
			n.logstores[key] = &Logstore{Project: s.Project, Logstore: s.Logstore}
		}
	}
	l.entries, l.logstores, l.dirty = n.entries, n.logstores, n.dirty
}
