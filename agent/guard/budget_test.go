package guard

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plant is an agent that has more to do than it may, in steps of simulated time.
type plant struct {
	limit      float64
	processors int
	perByte    []float64     // seconds of the lane, of each pipeline
	perPiece   time.Duration // whatever its size
	collection time.Duration // of garbage, after every 32 MiB
	background float64       // processors that nobody asks the guard for

	random    *rand.Rand
	budget    budget
	now, used time.Duration
	pipelines []*simulated
	debt      float64 // of the background
	allocated int
	garbage   time.Duration // of a collection that runs
	clock     []reading
}

// simulated is one pipeline: who waits with a batch, a lane, and senders.
type simulated struct {
	perByte float64
	batch   int // bytes that wait to be let through
	lookAt  time.Duration
	lane    []piece // the first is worked on
	sending []piece
}

type piece struct {
	bytes int
	left  time.Duration
}

const step = 500 * time.Microsecond

// run simulates some time.
func (p *plant) run(d time.Duration) {
	p.budget.reset(0, 0)
	p.budget.setLimit(p.limit)
	for _, c := range p.perByte {
		p.pipelines = append(p.pipelines, &simulated{perByte: c})
	}
	for ; p.now < d; p.now += step {
		p.read()
		p.work()
		p.clock = append(p.clock, reading{p.now, p.used})
	}
}

// read lets each input ask, if it is time for it.
func (p *plant) read() {
	if p.now%tick == 0 {
		p.budget.measure(p.now, p.used)
	}
	for _, s := range p.pipelines {
		if s.batch == 0 {
			s.batch = 512 << 10
		}
		if p.limit == 0 && len(s.lane) < 3 {
			s.take(p, s.batch)
			continue
		}
		if p.now < s.lookAt || len(s.lane) >= 3 { // one at work, one in the channel, one that is given
			continue
		}
		p.budget.measure(p.now, p.used)
		allowed, pause := p.budget.admit(p.now, s.batch)
		if pause > 0 {
			late := time.Duration(p.random.ExpFloat64() * float64(300*time.Microsecond))
			s.lookAt = p.now + min(max(pause, pollMin), pollMax) + late
			continue
		}
		s.take(p, allowed)
	}
}

// take gives some of the batch to the lane.
func (s *simulated) take(p *plant, bytes int) {
	s.batch -= bytes
	noise := 0.5 + p.random.Float64()
	s.lane = append(s.lane, piece{bytes, time.Duration(float64(bytes)*s.perByte*noise*float64(time.Second)) + p.perPiece})
	p.used += 5 * time.Microsecond
}

// work uses the processors for one step.
func (p *plant) work() {
	var ready []*time.Duration
	if p.garbage > 0 {
		ready = append(ready, &p.garbage)
	}
	p.debt += p.background * step.Seconds()
	if p.debt > 0.002 {
		p.used += 2 * time.Millisecond
		p.debt -= 0.002
	}
	for _, s := range p.pipelines {
		if len(s.lane) > 0 {
			ready = append(ready, &s.lane[0].left)
		}
		for i := range s.sending {
			ready = append(ready, &s.sending[i].left)
		}
	}
	p.random.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	for _, left := range ready[:min(p.processors, len(ready))] {
		spent := min(step, *left)
		*left -= spent
		p.used += spent
	}
	for _, s := range p.pipelines {
		if len(s.lane) > 0 && s.lane[0].left <= 0 {
			done := s.lane[0]
			s.lane = s.lane[1:]
			s.sending = append(s.sending, piece{left: 100*time.Microsecond + time.Duration(done.bytes)*time.Nanosecond})
			p.allocated += done.bytes
			if p.allocated > 32<<20 {
				p.allocated, p.garbage = 0, p.collection
			}
		}
		if len(s.sending) > 0 && s.sending[0].left <= 0 {
			s.sending = s.sending[1:]
		}
	}
}

// most is the largest average of a second that began after the given time.
func (p *plant) most(after time.Duration) (most float64) {
	n := int(time.Second / step)
	for i := int(after / step); i+n < len(p.clock); i++ {
		most = max(most, (p.clock[i+n].used - p.clock[i].used).Seconds())
	}
	return most
}

// mean is the average from a time on.
func (p *plant) mean(after time.Duration) float64 {
	return (p.used - p.clock[int(after/step)].used).Seconds() / (p.now - after).Seconds()
}

// TestBudget_KeepsEverySecond with parsers of all speeds, and gives out what there
// is: of the limit, or of what the pipelines could use without one.
func TestBudget_KeepsEverySecond(t *testing.T) {
	const settled, whole = 2 * time.Second, 20 * time.Second
	parsers := map[string][]float64{
		"raw": {2e-9}, "regex": {15e-9}, "module": {60e-9}, "slow module": {300e-9},
		"mixed": {3e-9, 80e-9}, "many": {10e-9, 10e-9, 10e-9, 30e-9, 2e-9},
	}
	for name, perByte := range parsers {
		for _, limit := range []float64{0.2, 0.4, 1, 1.5} {
			for seed := range uint64(3) {
				simulate := func(limited float64) *plant {
					p := &plant{
						limit: limited, processors: int(limit + 0.999), perByte: perByte, perPiece: 150 * time.Microsecond,
						collection: time.Duration(limit * 25 * float64(time.Millisecond)), background: 0.02,
						random: rand.New(rand.NewPCG(seed, 1)),
					}
					p.run(whole)
					return p
				}
				p, free := simulate(limit), simulate(0)
				label := fmt.Sprintf("%s, limit %v, seed %d", name, limit, seed)
				could := min(limit, free.mean(settled))
				t.Logf("%s: most %.3f, mean %.3f of %.3f", label, p.most(settled), p.mean(settled), could)
				require.LessOrEqual(t, p.most(settled), limit*exceeded, label)
				require.GreaterOrEqual(t, p.mean(settled), could*0.85, label)
			}
		}
	}
}
