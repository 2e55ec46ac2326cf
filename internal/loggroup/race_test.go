//go:build race

package loggroup

// raceEnabled: with the race detector a sync.Pool drops things at random.
const raceEnabled = true
