//go:build !race && !invariants

package record

var (
	poisonBytes  func([]byte)
	poisonFields func([]Field)
)
