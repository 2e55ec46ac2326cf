//go:build !race

package loggroup

const raceEnabled = false
