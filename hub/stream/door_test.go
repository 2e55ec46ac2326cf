package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// entered returns how long it takes to be let in.
func entered(ctx context.Context, d *door) time.Duration {
	began := time.Now()
	d.enter(ctx)
	return time.Since(began)
}

func TestDoor_IsOpenWhileTheConsumerKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		require.Zero(t, entered(t.Context(), d))
		d.published(7, time.Now())
		require.Zero(t, entered(t.Context(), d), "what waits has just come")
		time.Sleep(2 * backlogMax)
		d.take(7)
		require.Zero(t, entered(t.Context(), d))
		d.published(7, time.Now().Add(-time.Minute))
		require.Zero(t, entered(t.Context(), d), "it was taken before its sender had the answer")
	})
}

func TestDoor_OpensWhenTheConsumerHasTakenTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.published(2, time.Now())
		d.published(1, time.Now())
		time.Sleep(backlogMax - 10*time.Millisecond)
		d.published(3, time.Now())
		time.Sleep(10 * time.Millisecond)
		in := make(chan time.Duration)
		go func() { in <- entered(t.Context(), d) }()
		time.Sleep(20 * time.Millisecond)
		d.take(1) // 2 is older than it may be
		synctest.Wait()
		time.Sleep(30 * time.Millisecond)
		d.take(2)
		require.Equal(t, 50*time.Millisecond, <-in)
		ctx, cancel := context.WithTimeout(t.Context(), backlogMax+5*time.Millisecond)
		defer cancel()
		time.Sleep(backlogMax)
		require.Equal(t, 5*time.Millisecond, entered(ctx, d), "the sender has gone")
	})
}

func TestDoor_IsNoDoorWhileTheConsumerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.published(1, time.Now().Add(-time.Hour))
		require.Equal(t, doorPatience, entered(t.Context(), d))
		require.Zero(t, entered(t.Context(), d), "nobody else waits for it")
		d.published(2, time.Now().Add(-time.Hour))
		d.take(1)
		require.Equal(t, doorPatience, entered(t.Context(), d), "it is back")
	})
}
