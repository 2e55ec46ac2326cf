package receiver

import (
	"crypto/sha256"
	"sync"
	"time"
)

// replayCountMax bounds the remembered signatures: 16 bytes each, some 300 MB
// of map at most. Above it requests are refused as if the hub were busy.
const replayCountMax = 4 << 20

// replays remembers the requests that were taken. Two generations of the map
// hold each signature for at least span. Safe for concurrent use.
type replays struct {
	span time.Duration

	mu       sync.Mutex
	now, old map[replayKey]struct{}
	turned   time.Time
}

type replayKey [16]byte

func newReplays(span time.Duration, now time.Time) *replays {
	return &replays{span: span, now: make(map[replayKey]struct{}), turned: now}
}

func replayKeyOf(keyID, signature string) replayKey {
	sum := sha256.Sum256([]byte(keyID + "\x00" + signature))
	return replayKey(sum[:16])
}

// claim notes a request; seen is true if it was noted before, full if there is
// no room.
func (r *replays) claim(k replayKey, at time.Time) (seen, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.turned) > r.span {
		r.now, r.old, r.turned = make(map[replayKey]struct{}), r.now, at
	}
	if _, ok := r.now[k]; ok {
		return true, false
	}
	if _, ok := r.old[k]; ok {
		return true, false
	}
	if len(r.now) >= replayCountMax {
		return false, true
	}
	r.now[k] = struct{}{}
	return false, false
}

// forget takes a note back: the request was not taken after all.
func (r *replays) forget(k replayKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, k)
	delete(r.old, k)
}
