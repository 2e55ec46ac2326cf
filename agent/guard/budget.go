package guard

import "time"

// Shares of the limit, each of one second. Together with what a piece may cost
// more than it was thought to, and a collection of garbage, they stay below the
// tenth that a second may have too much.
const (
	// exceeded is what no second should have.
	exceeded = 1.1
	// rateMax and rateMin are how much of the limit is given out in the long run.
	// It is rateMax until a second had more than strained.
	rateMax, rateMin = 0.96, 0.5
	strained         = 1.04
	// chunk is how much may be under way, and be saved up while nothing asks.
	chunkShare = 0.04
)

const (
	// second is what the limit is an average over.
	second = time.Second
	// spacing is the distance of the readings that make up the last second.
	spacing = 10 * time.Millisecond
	// quietAfter is how long the process must have used little for what was let
	// through to count as done. It is longer than the system lets others run
	// before it comes back to one that has work.
	quietAfter = 4 * time.Millisecond
	// lessonMax is after which time the cost of a byte is learned at the latest.
	lessonMax = 50 * time.Millisecond
	// lessonBytes are worth learning from.
	lessonBytes = 32 << 10
	// pieceMin is the smallest piece that a batch is cut into: below it, what is
	// the same for each piece costs more than the records.
	pieceMin = 16 << 10
	// starving is how long nothing may pass at all, when others use all there is.
	starving = 5 * time.Second
	// perByteFirst is a slow parser, until it is known better; perByteMax is one
	// that should not be configured.
	perByteFirst, perByteMax = 50e-9, 2e-6
)

// budget gives out processor time: a bucket that is filled with the rate of the
// limit and emptied by what the clock of the process says, so that collections,
// senders and modules count as they are. What was let through and does not show
// on the clock yet is expected. And it looks at the last second as a whole.
// Times are since any beginning. Not safe for concurrent use.
type budget struct {
	limit float64 // in processors, 0 for none
	share float64 // of the limit, that is given out

	at, used time.Duration // the last reading: when, and the clock of the process
	level    float64       // seconds that may be used; negative: used too early
	expected float64       // seconds that pieces which were let through will cost
	past     ring

	quietAt, quietUsed   time.Duration // the reading that quiet is told from
	lessonAt, lessonUsed time.Duration // when the bytes of the lesson were let through
	lesson               int           // bytes
	perByte              float64       // seconds
	passedAt, adjustedAt time.Duration
}

// reset begins with a reading.
func (b *budget) reset(now, used time.Duration) {
	b.at, b.used, b.quietAt, b.quietUsed = now, used, now, used
	b.share, b.perByte = rateMax, perByteFirst
	b.past.add(reading{now, used})
}

func (b *budget) setLimit(processors float64) {
	if processors != b.limit {
		b.limit, b.level, b.share = processors, 0, rateMax
	}
}

// chunk is in seconds.
func (b *budget) chunk() float64 { return b.limit * chunkShare }

// measure takes a reading.
func (b *budget) measure(now, used time.Duration) {
	if now <= b.at || used < 0 {
		return
	}
	spent := (used - b.used).Seconds()
	b.level = min(b.chunk(), b.level+b.limit*b.share*(now-b.at).Seconds()) - spent
	b.level = max(b.level, -b.limit) // what is older than a second is gone
	// What is expected and does not come is forgotten, the faster the more may be
	// used: another parser's bytes may be cheaper.
	b.expected = max(0, b.expected-spent-b.limit*(now-b.at).Seconds()/2)
	b.at, b.used = now, used
	b.past.add(reading{now, used})
	if elapsed := now - b.quietAt; elapsed >= quietAfter {
		// Above one processor, others may be at work while one is done.
		quiet := (used - b.quietUsed).Seconds() < max(0.2, b.limit-0.5)*elapsed.Seconds()
		b.quietAt, b.quietUsed = now, used
		if quiet {
			b.expected /= 2
		}
		if quiet || now-b.lessonAt > lessonMax {
			b.learn()
		}
	}
	b.adjust(now)
}

// learn ends a lesson. A costly one is believed at once, so that the next pieces
// are small enough, and cheap ones slowly: pipelines may differ.
func (b *budget) learn() {
	if b.lesson < lessonBytes {
		return
	}
	cost := min(perByteMax, (b.used-b.lessonUsed).Seconds()/float64(b.lesson))
	if cost > b.perByte {
		b.perByte = (b.perByte + cost) / 2
	} else {
		b.perByte += (cost - b.perByte) / 16
	}
	b.lesson = 0
}

// adjust gives out less after a second that had too much, whatever the reason.
func (b *budget) adjust(now time.Duration) {
	if now-b.adjustedAt < second || b.limit == 0 {
		return
	}
	switch {
	case b.window() > b.limit*strained:
		b.share, b.adjustedAt = max(rateMin, b.share-0.03), now
	case now-b.adjustedAt >= 10*second && b.share < rateMax:
		b.share, b.adjustedAt = min(rateMax, b.share+0.01), now
	}
}

// window is how many processors were in use over the last second.
func (b *budget) window() float64 { return b.past.average(second) }

// admit lets some of bytes through, or says how long, at least
// pollMin, it will take until it may.
func (b *budget) admit(now time.Duration, bytes int) (allowed int, pause time.Duration) {
	if now-b.passedAt > starving {
		return b.pass(now, min(bytes, pieceMin)), 0
	}
	chunk := b.chunk()
	if missing := b.expected - b.level; missing > 0 {
		return 0, max(pollMin, time.Duration(missing/(b.limit*b.share)*float64(time.Second)))
	}
	room := min(chunk, b.limit-b.window()) - b.expected
	piece := int(room / b.perByte)
	if piece < min(bytes, pieceMin) && (b.expected > 0 || room <= 0) {
		return 0, pollMin
	}
	return b.pass(now, min(bytes, max(piece, pieceMin))), 0
}

// pass expects what so many bytes cost.
func (b *budget) pass(now time.Duration, bytes int) int {
	if b.lesson == 0 {
		b.lessonAt, b.lessonUsed = now, b.used
	}
	b.lesson += bytes
	b.expected += float64(bytes) * b.perByte
	b.passedAt = now
	return bytes
}

// reading is what the clock of the process said at a time.
type reading struct{ at, used time.Duration }

// ring has the readings of a bit more than a second.
type ring struct {
	all  [128]reading
	next int
	n    int
	last reading
}

// add notes a reading, unless there is one of shortly before.
func (r *ring) add(now reading) {
	r.last = now
	if r.n > 0 && now.at-r.all[(r.next+len(r.all)-1)%len(r.all)].at < spacing {
		return
	}
	r.all[r.next] = now
	r.next = (r.next + 1) % len(r.all)
	r.n = min(r.n+1, len(r.all))
}

// since returns the last reading that is at least some time before the newest, or
// the oldest there is.
func (r *ring) since(over time.Duration) (then reading) {
	then = r.last
	for i := 1; i <= r.n; i++ {
		then = r.all[(r.next+len(r.all)-i)%len(r.all)]
		if r.last.at-then.at >= over {
			break
		}
	}
	return then
}

// average is the use from a time ago, or a bit earlier, until the last reading:
// in processors, as if all of it was in that time.
func (r *ring) average(over time.Duration) float64 {
	return (r.last.used - r.since(over).used).Seconds() / over.Seconds()
}

// rate is average over the time that was really measured.
func (r *ring) rate(over time.Duration) float64 {
	then := r.since(over)
	if span := r.last.at - then.at; span > 0 {
		return (r.last.used - then.used).Seconds() / span.Seconds()
	}
	return 0
}
