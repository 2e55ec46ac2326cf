package queue

import (
	"math"
	"math/rand/v2"
	"time"
)

// Scope says what of an output a setback is about.
type Scope uint8

// The scopes.
const (
	// Output: the receiver cannot be reached, or fails.
	Output Scope = iota
	// Destination: one log store, or its account, takes no more, or is unknown.
	Destination
	// Stream: this payload only, and what must follow it.
	Stream
)

// Setback is why a payload was not taken, and when to try again.
type Setback struct {
	Scope Scope
	// After is the least time until the next attempt, as a receiver asks for it;
	// 0 leaves it to the back-off, which doubles from 100 ms to 30 s and is
	// random, so that agents do not come back all at once.
	After time.Duration
	// Slower says that the receiver wants less: the rate of its destination is
	// halved, and comes back by a tenth with each payload that is taken.
	Slower bool
}

const (
	pauseMin = 100 * time.Millisecond
	pauseMax = 30 * time.Second
	gapMin   = 10 * time.Millisecond
	gapMax   = 10 * time.Second
)

// gate paces attempts: additive increase of what is under way at once with each
// success, multiplicative decrease with each failure.
type gate struct {
	until    time.Time // nothing starts before
	changed  time.Time // the last failure that counted
	failures int       // in a row
	limit    float64   // how many attempts may be under way
	flying   int
	gap      time.Duration // the least time between two starts, 0 for none
	reserved time.Time     // before it the gap has no start left
}

// open reports whether an attempt may start, or from when on; zero for when
// another has ended.
func (g *gate) open(now time.Time) (ok bool, from time.Time) {
	if now.Before(g.until) {
		return false, g.until
	}
	if g.gap > 0 && now.Before(g.reserved) {
		return false, g.reserved
	}
	return float64(g.flying) < math.Max(1, math.Floor(g.limit)), time.Time{}
}

func (g *gate) begin(now time.Time) {
	g.flying++
	g.reserved = now.Add(g.gap)
}

// well ends an attempt that the receiver has taken.
func (g *gate) well(limitMax float64) {
	g.failures, g.until = 0, time.Time{}
	g.limit = math.Min(limitMax, g.limit+1/math.Max(1, g.limit))
	if g.gap = g.gap * 9 / 10; g.gap < gapMin {
		g.gap = 0
	}
}

// back ends an attempt that failed. Those that were under way together fail
// together, and count as one.
func (g *gate) back(now, began time.Time, s Setback) {
	if !began.After(g.changed) {
		return
	}
	g.changed = now
	g.failures++
	g.limit = math.Max(1, g.limit/2)
	if s.Scope == Output {
		g.limit = 1 // one looks whether the receiver is back
	}
	if s.Slower {
		g.gap = min(gapMax, max(pauseMin, 2*g.gap))
	}
	g.until = now.Add(max(s.After, jitter(g.failures)))
}

// jitter is random up to min(pauseMax, pauseMin·2ⁿ).
func jitter(failures int) time.Duration {
	ceiling := pauseMax
	if failures < 16 {
		ceiling = min(pauseMax, pauseMin<<(failures-1))
	}
	return time.Duration(rand.Int64N(int64(ceiling))) + pauseMin/10 //nolint:gosec // it spreads attempts, it hides nothing
}
