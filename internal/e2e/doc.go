// Package e2e tests the built programs from outside: real files, real
// rotation, real processes that are killed, and the hub's answers compared with
// a ledger of every line that was written.
//
// It has no code but tests. They build the programs themselves.
package e2e
