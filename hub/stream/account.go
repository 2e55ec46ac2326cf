package stream

import (
	"cmp"
	"slices"
)

// Account is what an entry of the ledger amounts to.
type Account struct {
	Entry
	// Start is the first byte that has arrived, and End where the last ends. What
	// lies before Start was never sent to this hub: the hub cannot know whether
	// the agent was told to begin there.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// ReadBytes have arrived between Start and End, MissingBytes have not.
	ReadBytes    int64 `json:"read_bytes"`
	MissingBytes int64 `json:"missing_bytes"`
	// Missing are the gaps between the ranges. For a routed entry they are no
	// gaps: those bytes went to another log store.
	Missing Ranges `json:"missing"`
	// Complete is true when nothing is missing between Start and End, and every
	// record that is not filtered is stored.
	Complete bool `json:"complete"`
	// Truncated is true when Ranges and Missing are only the first of all; the
	// sums and Complete are of all.
	Truncated bool `json:"truncated,omitempty"`
}

// account sums up an entry, with copies of at most rangesMax of its ranges.
func (e *Entry) account(rangesMax int) Account {
	a := Account{Entry: *e, ReadBytes: e.Ranges.Bytes(), MissingBytes: e.missingBytes(), Missing: Ranges{}}
	a.Start, a.End = e.Ranges.Bounds()
	a.Complete = a.MissingBytes == 0 && e.Stored == e.Parsed+e.Failed
	shown := e.Ranges
	if len(shown) > rangesMax {
		shown, a.Truncated = shown[:rangesMax], true
	}
	a.Ranges = slices.Clone(shown)
	if !e.Routed {
		a.Missing = a.Ranges.Gaps()
	}
	return a
}

// missingBytes are those between the ranges that should have arrived.
func (e *Entry) missingBytes() int64 {
	if e.Routed {
		return 0
	}
	start, end := e.Ranges.Bounds()
	return end - start - e.Ranges.Bytes()
}

// add counts an entry.
func (t *Totals) add(e *Entry) {
	t.Parsed += e.Parsed
	t.Failed += e.Failed
	t.Filtered += e.Filtered
	t.ReadRecords = t.Parsed + t.Failed + t.Filtered
	t.Stored += e.Stored
	t.Repeated += e.Repeated
	t.MissingBytes += e.missingBytes()
	if !e.Routed { // the entry of the pipeline's own log store has all of the bytes
		t.ReadBytes += e.Ranges.Bytes()
		t.DoubleBytes += e.DoubleBytes
	}
}

// Selection says which entries of the ledger are wanted, and how much of them.
type Selection struct {
	// Keep is asked about every entry, which it must not keep or change. It must
	// not block: the ledger waits for it.
	Keep func(*Entry) bool
	// Offset entries are passed over, and at most Limit returned.
	Offset, Limit int
	// RangesMax bounds the ranges of all returned entries together.
	RangesMax int
}

// Page is a part of the ledger.
type Page struct {
	// Accounts are ordered by path, first arrival and generation.
	Accounts []Account
	// Totals are of all selected entries, Count is how many these are.
	Totals Totals
	Count  int
	// Truncated is true when there are more entries after these, or when ranges
	// of one were left out.
	Truncated bool
}

// Page returns what the ledger has now. The entries are copies.
func (s *Stream) Page(sel Selection) Page { return s.ledger.page(sel) }

// place is where an entry stands in the order of pages.
type place struct {
	key, path, generation string
	first                 int64
}

// page finds the entries first, and copies only those of the page: the consumer
// waits for neither the sorting nor for copies that nobody asked for.
func (l *ledger) page(sel Selection) Page {
	p := Page{Accounts: []Account{}}
	var places []place
	l.mu.RLock()
	for key, e := range l.entries {
		if sel.Keep(e) {
			p.Totals.add(e)
			places = append(places, place{key, e.Path, e.Generation, e.First.UnixNano()})
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.first, b.first), cmp.Compare(a.generation, b.generation), cmp.Compare(a.key, b.key))
	})
	p.Count = len(places)
	places = places[min(sel.Offset, len(places)):]
	if len(places) > sel.Limit {
		places, p.Truncated = places[:sel.Limit], true
	}
	left := sel.RangesMax
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, at := range places {
		e := l.entries[at.key]
		if e == nil {
			continue // the consumer went back to what was saved
		}
		a := e.account(left)
		left -= len(a.Ranges)
		p.Truncated = p.Truncated || a.Truncated
		p.Accounts = append(p.Accounts, a)
	}
	return p
}
