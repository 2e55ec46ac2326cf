package guard

import (
	"fmt"
	"time"
)

// Shares of the memory limit.
const (
	reopenShare = 0.86 // batches pass again
	shutShare   = 0.90 // no batch passes
	alarmShare  = 0.97
)

const (
	// releaseEvery is the least time between two releases: each costs a collection.
	releaseEvery = 2 * time.Second
	// restartAfter is how long memory may be above alarmShare, with nothing let
	// through and all released that could be.
	restartAfter = 10 * time.Second
	// alarmEvery is how often the alarm is repeated.
	alarmEvery = time.Minute
	// narrowBytes pass every narrowEvery while memory does not get less by waiting:
	// slow is better than never.
	narrowBytes = 64 << 10
	narrowEvery = 50 * time.Millisecond
)

// gate is what batches meet.
type gate uint8

const (
	gateOpen gate = iota
	gateNarrow
	gateShut
)

// ladder is what is done, step by step, as memory gets scarce. Times are since
// any beginning. Not safe for concurrent use.
type ladder struct {
	limit, resident     int64
	gate                gate
	releasedAt, alarmAt time.Duration
	releases            int           // since the gate was shut
	scarceAt            time.Duration // since when above alarmShare
	scarce              bool
	passedAt            time.Duration // the last narrow piece
	alarmed             bool
}

// action is what is to be done now.
type action struct {
	limit, resident int64
	tight           bool // memory is near the limit: look closely
	release         bool // collect, and give to the system what is free
	alarm           bool
	restart         error
}

func (l *ladder) setLimit(bytes int64) {
	l.limit = bytes
	if bytes == 0 {
		l.gate = gateOpen
	}
}

// step takes a reading.
func (l *ladder) step(now time.Duration, resident int64) (do action) {
	l.resident = resident
	do = action{limit: l.limit, resident: resident}
	if l.limit == 0 || resident < 0 {
		l.gate = gateOpen
		return do
	}
	share := float64(resident) / float64(l.limit)
	do.tight = share >= reopenShare-0.1
	switch {
	case share < reopenShare:
		l.gate, l.releases = gateOpen, 0
	case share >= alarmShare:
		l.gate = gateShut
	case share >= shutShare && l.gate == gateOpen:
		l.gate = gateShut
	case l.gate == gateShut && l.releases >= 2 && now-l.releasedAt >= releaseEvery/2:
		l.gate = gateNarrow // it is what is needed, not what is left over
	}
	if l.gate != gateOpen && (l.releases == 0 || now-l.releasedAt >= releaseEvery) {
		do.release = true
		l.releases++
		l.releasedAt = now
	}
	l.scarcity(now, share, &do)
	return do
}

// scarcity decides about alarm and restart.
func (l *ladder) scarcity(now time.Duration, share float64, do *action) {
	if share < alarmShare {
		l.scarce = false
		return
	}
	if !l.scarce {
		l.scarce, l.scarceAt = true, now
	}
	if !l.alarmed || now-l.alarmAt >= alarmEvery {
		l.alarmed, l.alarmAt, do.alarm = true, now, true
	}
	if now-l.scarceAt >= restartAfter {
		do.restart = fmt.Errorf("cannot keep the memory limit of %d bytes: %d are resident, and nothing more can be released; raise limits.memory, or give modules less", l.limit, l.resident)
	}
}

// admit lets some of bytes through, or says how long to pause.
func (l *ladder) admit(now time.Duration, bytes int) (allowed int, pause time.Duration) {
	switch {
	case l.gate == gateShut:
		return 0, pollMax
	case l.gate == gateNarrow && now-l.passedAt < narrowEvery:
		return 0, pollMax
	case l.gate == gateNarrow:
		return min(bytes, narrowBytes), 0
	}
	return bytes, 0
}

// admitted notes that a piece has passed.
func (l *ladder) admitted(now time.Duration) { l.passedAt = now }
