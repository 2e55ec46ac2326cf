//go:build race || invariants

package queue

// poison makes a payload that a sender kept after Release show in any test.
func poison(p []byte) {
	for i := range p {
		p[i] = 0xcc
	}
}
