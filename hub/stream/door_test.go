package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// entered returns how long it takes one of a kind to be let in.
func entered(ctx context.Context, d *door, kind string) time.Duration {
	began := time.Now()
	d.enter(ctx, kind)
	return time.Since(began)
}

// large is more than may wait anyhow.
const large = backlogMin + 1

// shared returns a door through which live lines have just come, the message 1, and an
// import has sent before: they are let in at once, it is not while the message 2 waits.
func shared() *door {
	d := newDoor()
	now := time.Now()
	d.published(visitor{1, "live", 1000, now})
	d.published(visitor{2, "import", large, now.Add(-time.Minute)})
	d.others = now
	return d
}

func TestDoor_IsOpenWhileTheConsumerKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := shared()
		d.take(2)
		require.Zero(t, entered(t.Context(), d, "import"))
		d.published(visitor{4, "import", large, time.Now()})
		require.Zero(t, entered(t.Context(), d, "import"), "what waits has just come")
		d.take(4)
		d.published(visitor{4, "import", large, time.Now().Add(-time.Minute)})
		require.Zero(t, entered(t.Context(), d, "import"), "it was taken before its sender had the answer")
		d.published(visitor{5, "import", backlogMin / 2, time.Now().Add(-time.Minute)})
		d.published(visitor{6, "import", backlogMin / 2, time.Now().Add(-time.Minute)})
		require.Zero(t, entered(t.Context(), d, "import"), "so little may wait")
	})
}

func TestDoor_LetsInWhoHasNothingThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := shared()
		require.Zero(t, entered(t.Context(), d, "live"))
		require.Zero(t, entered(t.Context(), d, "another"))
		in := make(chan time.Duration)
		go func() { in <- entered(t.Context(), d, "import") }()
		time.Sleep(70 * time.Millisecond)
		d.take(1)
		synctest.Wait()
		time.Sleep(30 * time.Millisecond)
		d.take(2)
		require.Equal(t, 100*time.Millisecond, <-in)
	})
}

func TestDoor_IsNoneForWhoSendsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		for seq := range uint64(20) {
			d.published(visitor{seq + 1, "only", large, time.Now()})
			time.Sleep(backlogMax)
			require.Zero(t, entered(t.Context(), d, "only"))
		}
		d = shared()
		time.Sleep(othersFor + 1)
		require.Zero(t, entered(t.Context(), d, "import"), "nobody else has sent for long")
	})
}

func TestDoor_IsNoneWhileTheConsumerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := shared()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		require.Equal(t, 5*time.Millisecond, entered(ctx, d, "import"), "the sender has gone")
		require.Equal(t, doorPatience, entered(t.Context(), d, "import"))
		require.Zero(t, entered(t.Context(), d, "import"), "nobody else waits for it")
		d.take(1)
		require.Equal(t, doorPatience, entered(t.Context(), d, "import"), "it is back")
		d.take(2)
		require.Empty(t, d.inside)
		require.Empty(t, d.bytes)
	})
}
