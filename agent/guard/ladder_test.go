package guard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const mib = 1 << 20

// steps lets the ladder look every tick for d, and returns how often it released,
// and the last action.
func steps(l *ladder, now *time.Duration, d time.Duration, resident int64) (released int, last action) {
	for end := *now + d; *now < end; *now += tick {
		last = l.step(*now, resident)
		if last.release {
			released++
		}
	}
	return released, last
}

func TestLadder_ShutsBeforeTheLimitAndOpensBelow(t *testing.T) {
	var l ladder
	var now time.Duration
	l.setLimit(100 * mib)
	steps(&l, &now, time.Second, 89*mib)
	allowed, pause := l.admit(now, 1000)
	require.Equal(t, 1000, allowed)
	require.Zero(t, pause)
	released, _ := steps(&l, &now, time.Second, 91*mib)
	require.Equal(t, 1, released, "a release costs a collection")
	_, pause = l.admit(now, 1000)
	require.NotZero(t, pause)
	steps(&l, &now, tick, 88*mib)
	_, pause = l.admit(now, 1000)
	require.NotZero(t, pause, "it must fall, not waver")
	steps(&l, &now, tick, 80*mib)
	_, pause = l.admit(now, 1000)
	require.Zero(t, pause)
}

// TestLadder_WhatIsNeededIsSlow: memory that no release gives back does not stop
// the agent for ever.
func TestLadder_WhatIsNeededIsSlow(t *testing.T) {
	var l ladder
	var now time.Duration
	l.setLimit(100 * mib)
	passed := 0
	for end := now + time.Minute; now < end; now += pollMax {
		if now%tick == 0 {
			do := l.step(now, 92*mib)
			require.NoError(t, do.restart)
			require.False(t, do.alarm)
		}
		if allowed, pause := l.admit(now, mib); pause == 0 {
			passed += allowed
			l.admitted(now)
		}
	}
	most := int(time.Minute/narrowEvery) * narrowBytes
	require.LessOrEqual(t, passed, most)
	require.Greater(t, passed, most/2)
}

func TestLadder_AtTheLimitOnlyARestartIsLeft(t *testing.T) {
	var l ladder
	var now time.Duration
	l.setLimit(100 * mib)
	alarms := 0
	for ; now < restartAfter; now += tick {
		do := l.step(now, 98*mib)
		require.NoError(t, do.restart)
		if do.alarm {
			alarms++
		}
		_, pause := l.admit(now, 1)
		require.NotZero(t, pause)
	}
	require.Equal(t, 1, alarms)
	_, last := steps(&l, &now, time.Second, 98*mib)
	require.ErrorContains(t, last.restart, "raise limits.memory")
	_, last = steps(&l, &now, tick, 96*mib)
	require.NoError(t, last.restart)
}
