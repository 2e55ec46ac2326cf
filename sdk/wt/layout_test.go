package wt

import (
	"bytes"
	"testing"
)

// FuzzCuts compares Cuts with the calls that it stands for.
func FuzzCuts(f *testing.F) {
	for _, s := range []string{
		"", "a", "a - b [c", `a - b [c] "d" "e"`, `1.2.3.4 - anna [10/Oct/2024:13:00:00 +0000] "GET / HTTP/1.1" "x"`,
		`a - b [c] "d \"quoted\" \\" "e"`, ` - b [c] "d" "e"`, `a - b [c] "d`, `a - b [c] "\`, `a - b [c] "d" "e" and so on, for more than some bytes`,
		`a value of more than thirty-two bytes before the end comes at last - b [c] "and one more of them, with a long text, is here" "e"`,
	} {
		f.Add([]byte(s))
	}
	steps := []Step{{1, " - ", 1}, {2, " [", 0}, {3, `] "`, 1}, {4, `" "`, 0}, {5, `"`, 2}}
	layout := NewLayout(steps...)
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.Clone(line)
		got, want := line, line
		row := func() *Row {
			guest.b = Batch{in: &header{}, newest: ^uint32(0)}
			guest.room, guest.used, guest.full = 1<<20, 0, false
			return guest.b.Begin(0, 1)
		}
		r := *row()
		n := r.Cuts(&got, layout)
		fields := guest.table
		w, done := *row(), 0
		for _, s := range steps {
			rest, before := want, w.out
			var k int
			if s.Until[0] == '"' {
				k = w.CutQuoted(s.ID, &rest)
			} else {
				k = w.Cut(s.ID, &rest, s.Until[0])
			}
			if k < s.Min || k < 0 || !Prefix(&rest, s.Until[1:]) {
				w.out = before
				break
			}
			want = rest
			done++
		}
		if n != done || !bytes.Equal(got, want) || r.out != w.out {
			t.Fatalf("%q: %d steps, %q left, %d bytes put, want %d, %q, %d", line, n, got, r.out, done, want, w.out)
		}
		for i := rowWords; i < int(w.out/4); i++ {
			if fields[i] != guest.table[i] {
				t.Fatalf("%q: word %d is %d, want %d", line, i, fields[i], guest.table[i])
			}
		}
	})
}
