//go:build race

package wasmhost

// slowly divides the rounds of long tests: the race detector makes each ten times
// as long, and they run in full without it.
const slowly = 10
