//go:build race

package wasmhost

import "testing"

// slowly divides the rounds of long tests: the race detector makes each ten times
// as long, and they run in full without it.
const slowly = 10

// onlyInFull leaves out a test that has one goroutine, and compiles large modules: the
// race detector finds nothing in it, and makes it ten times as long.
func onlyInFull(t testing.TB) {
	t.Helper()
	t.Skip("it runs without the race detector")
}
