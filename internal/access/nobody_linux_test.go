package access

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// asNobody runs f while files are looked at as by a user who owns none, on a
// thread that ends with it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	const nobody = 65534
	got := make(chan int)
	go func() {
		defer close(got)
		runtime.LockOSThread()
		_, _ = unix.SetfsuidRetUid(nobody)
		uid, _ := unix.SetfsuidRetUid(nobody) // says what it is now
		got <- uid
		f()
	}()
	require.Equal(t, nobody, <-got, "the kernel did not take it")
	<-got
}
