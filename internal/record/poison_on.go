//go:build race || invariants

package record

var poisoned = []byte("\xcc released \xcc")

// poisonBytes makes a slice that was kept after Release show in any test.
var poisonBytes = func(p []byte) {
	for i := range p {
		p[i] = 0xcc
	}
}

var poisonFields = func(f []Field) {
	for i := range f {
		f[i] = Field{Name: poisoned, Value: poisoned}
	}
}
