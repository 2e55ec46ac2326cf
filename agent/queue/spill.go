package queue

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// full reports whether n bytes more are too much.
func (s *spool) full(n int) bool { return s.budget.Used()+int64(n) > s.budget.Max() }

// store writes one payload to the disk behind what is there, and reports whether
// it is durable.
func (q *Queue) store(e Entry) bool {
	_, err := q.disk.append([]Entry{e})
	fails := err != nil && !errors.Is(err, errFull)
	q.mu.Lock()
	q.putting--
	q.workLocked()
	if fails {
		q.roomLocked() // others may have seen the disk as usable
	}
	q.mu.Unlock()
	if fails {
		q.o.DiskFails(err)
	}
	if err != nil {
		q.settle() // this may be what kept it from memory
	}
	return err == nil
}

// spill writes all that is in memory to the disk and acknowledges it. Payloads
// that are out are written too: after a crash they would leave a gap, and all
// behind it would be read again. moving is set, so that nothing is put meanwhile.
func (q *Queue) spill() {
	q.mu.Lock()
	var items []*item
	for _, s := range q.streams {
		if s.out != nil && s.out.done != nil {
			items = append(items, s.out)
		}
		items = append(items, s.items[s.head:]...)
	}
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	entries := make([]Entry, 0, len(items))
	for _, it := range items {
		// A copy: what is out may end while it is written.
		entries = append(entries, Entry{slices.Clone(it.payload), it.label})
	}
	if len(items) == 0 {
		q.moving = false
		q.wakeLocked()
	}
	q.mu.Unlock()
	if len(items) == 0 {
		return // all was delivered meanwhile
	}
	places, err := q.disk.append(entries)
	if err != nil && !errors.Is(err, errFull) {
		q.o.DiskFails(err)
	}
	q.mu.Lock()
	q.movable = time.Now().Add(patience)
	var dones []func(error)
	var over []place
	if err == nil {
		dones, over = q.movedLocked(items, places)
		q.spilled = true
	}
	q.workLocked()
	q.mu.Unlock()
	for _, p := range over {
		q.finish(&item{at: p})
	}
	for _, done := range dones {
		done(nil)
	}
	q.mu.Lock()
	q.moving = false // not before: Shut waits for it
	q.wakeLocked()
	q.mu.Unlock()
	q.settle()
}

// lagsLocked reports whether what is in memory should go to the disk, because it
// has waited for lagMax and attempts fail; or when that will be so.
func (q *Queue) lagsLocked(now time.Time) (due bool, at time.Time) {
	if q.disk == nil || q.spilled || q.moving || q.closed {
		return false, at
	}
	for _, s := range q.streams {
		if s.head == len(s.items) || q.all.failures+s.failures+q.gateLocked(s.items[s.head].label.Destination).failures == 0 {
			continue
		}
		at = sooner(at, s.items[s.head].since.Add(lagMax))
	}
	if at.IsZero() {
		return false, at
	}
	ok, from := q.disk.ready(now)
	if !ok || q.disk.full(int(q.bytes)) {
		return false, later(from, now.Add(lagMax))
	}
	at = later(at, q.movable)
	return !now.Before(at), at
}

// safeLocked reports whether a closed queue needs its senders no more: nothing is
// in memory only, or attempts fail, and Shut can store what is.
func (q *Queue) safeLocked(now time.Time) bool {
	if q.bytes == 0 || q.spilled {
		return true
	}
	if q.disk == nil || q.all.failures == 0 || q.disk.full(int(q.bytes)) {
		return false
	}
	ok, _ := q.disk.ready(now)
	return ok
}

// movedLocked lets go of what is on the disk now, and returns whom to tell, and
// what of it has ended meanwhile.
func (q *Queue) movedLocked(items []*item, places []place) (dones []func(error), over []place) {
	for i, it := range items {
		if it.done == nil {
			q.moved[places[i]] = true // until it is finished
			over = append(over, places[i])
			continue
		}
		dones = append(dones, it.done)
		it.done, it.at = nil, places[i]
		s := q.streams[it.label.Stream]
		if s.out == it {
			q.moved[places[i]] = true
			continue
		}
		s.items = slices.DeleteFunc(s.items, func(o *item) bool { return o == it })
		q.dropLocked(it)
		q.readyLocked(s)
	}
	return dones, over
}

// loadsLocked reports whether a segment should be read: senders have nothing to
// do, and the disk has something; or from when on that will be so.
func (q *Queue) loadsLocked(now time.Time) (due bool, at time.Time) {
	if q.disk == nil || !q.spilled || q.loading || q.loaded >= loadedMax {
		return false, at
	}
	if open, _ := q.all.open(now); !open {
		return false, at
	}
	return q.disk.waiting(now)
}

// load reads the next segment. loading is set, so that one does.
func (q *Queue) load() {
	first := q.o.Disk.NewestFirst
	seg := q.disk.next(first)
	if seg == nil || first {
		q.disk.seal()
		seg = q.disk.next(first)
	}
	var found []*item
	var res scanResult
	var err error
	if seg != nil {
		res, err = q.disk.load(seg, q.heldOf(seg), func(h *head, p place) {
			label := Label{Stream: h.Stream, Destination: h.Destination}
			found = append(found, &item{label: label, lane: -1, at: p})
		})
	}
	q.mu.Lock()
	for _, it := range found {
		q.loaded++
		s := q.streamLocked(it.label.Stream)
		s.push(it)
		q.readyLocked(s)
	}
	q.loading = false
	q.workLocked()
	q.mu.Unlock()
	switch {
	case errors.Is(err, errAgain):
		q.o.DiskFails(err)
	case err != nil:
		q.o.Lost(Loss{Reason: SetAside, Err: err})
	}
	if res.damaged > 0 {
		q.o.Lost(Loss{Reason: Damaged, Records: res.damaged, Err: fmt.Errorf("cannot find %d payloads in the segment %d of the disk cache: it was damaged", res.damaged, seg.id)})
	}
	q.settle()
}

// heldOf returns where a segment has records that the queue holds itself: they are
// out, or wait in memory, or are being finished. While loading is set there will
// be no more.
func (q *Queue) heldOf(seg *segment) map[int64]bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := map[int64]bool{}
	for p := range q.moved {
		if p.seg == seg {
			held[p.at] = true
		}
	}
	return held
}

// fetch reads the payload of a loan from the disk. What cannot be read, or is too
// old, is lost, and the loan over.
func (q *Queue) fetch(l *Lease) bool {
	h, payload, err := q.disk.read(l.Payload, l.item.at)
	if errors.Is(err, errAgain) && l.item.tries < triesMax {
		l.item.tries++
		l.Retry(Setback{Scope: Stream, After: time.Second})
		q.o.DiskFails(err)
		return false
	}
	loss := Loss{Label: h.Label, Records: h.Records, Reason: Damaged, Err: err}
	if age := q.o.Disk.AgeMax; err == nil {
		if age <= 0 || time.Since(h.stored) <= age {
			l.Payload, l.Label = payload, h.Label
			return true
		}
		loss.Reason, loss.Err = Expired, fmt.Errorf("it has waited since %s", h.stored.UTC().Format(time.RFC3339))
	}
	l.q = nil
	q.mu.Lock()
	q.landLocked(l)
	l.stream.out, l.stream.failures, l.stream.until = nil, 0, time.Time{}
	q.readyLocked(l.stream)
	q.mu.Unlock()
	q.finish(l.item)
	q.o.Lost(loss)
	return false
}

// finish notes that what was on the disk need not be sent again.
func (q *Queue) finish(it *item) {
	if it.at.seg == nil {
		return
	}
	q.disk.finish(it.at)
	q.mu.Lock()
	delete(q.moved, it.at)
	if it.lane < 0 {
		q.loaded--
	}
	q.roomLocked()
	q.mu.Unlock()
	q.settle()
}

// settle goes back to memory when the disk is empty.
func (q *Queue) settle() {
	q.mu.Lock()
	disk := q.disk
	back := disk != nil && q.spilled && !q.moving && !q.loading && q.putting == 0 && q.loaded == 0 && len(q.moved) == 0 && disk.empty()
	if back {
		q.spilled = false
		q.wakeLocked()
	}
	q.mu.Unlock()
	if back {
		disk.seal()
	}
}
