package wt

import (
	"bytes"
	"testing"
)

// FuzzCut compares Cut, CutQuoted and CutInt with the steps that they stand for.
func FuzzCut(f *testing.F) {
	for _, s := range []string{
		"", " ", "a b", "GET / HTTP/1.1", "12345678 ", "123456789 ", "0 x", "007 y", "-5 z", "12a ", "1234567", "9223372036854775807 ",
		"9223372036854775808 ", `say \"hi\" now" rest`, `\`, `\"`, `"`, "a line of more than thirty-two bytes without the byte \xff",
		"12345678", "99999999 99", "1 ", "1",
	} {
		f.Add([]byte(s), byte(' '))
		f.Add([]byte(s), byte('"'))
	}
	f.Fuzz(func(t *testing.T, line []byte, c byte) {
		line = bytes.Clone(line)
		row := func() *Row {
			guest.b = Batch{in: &header{}, newest: ^uint32(0)}
			guest.room, guest.used, guest.full = 1<<20, 0, false
			return guest.b.Begin(0, 1)
		}
		same := func(what string, a, b *Row, restA, restB []byte) {
			t.Helper()
			if a.out != b.out || !bytes.Equal(restA, restB) {
				t.Fatalf("%s of %q by %q: %d bytes put and %q left, want %d and %q", what, line, c, a.out, restA, b.out, restB)
			}
		}
		entry := func() [fieldWords]uint32 { return [fieldWords]uint32(guest.table[rowWords:]) }

		got, want := line, line
		r := *row()
		n := r.Cut(1, &got, c)
		gotEntry := entry()
		w := *row()
		part, ok := Until(&want, c)
		if ok {
			w.Str(1, part)
		}
		same("Cut", &r, &w, got, want)
		if ok && (n != len(part) || gotEntry != entry()) || !ok && n != -1 {
			t.Fatalf("Cut of %q by %q is %d, want %q", line, c, n, part)
		}

		got, want = line, line
		r = *row()
		n = r.CutQuoted(1, &got)
		gotEntry = entry()
		w = *row()
		if part, ok = Quoted(&want); ok {
			w.Str(1, part)
		}
		same("CutQuoted", &r, &w, got, want)
		if ok && (n != len(part) || gotEntry != entry()) || !ok && n != -1 {
			t.Fatalf("CutQuoted of %q is %d, want %q", line, n, part)
		}

		got, want = line, line
		r = *row()
		number, okInt := r.CutInt(1, &got, c)
		gotEntry = entry()
		w = *row()
		var x int64
		if part, ok = Until(&want, c); ok {
			if x, ok = ParseInt(part); ok {
				w.Int(1, x)
			}
		}
		if !ok {
			want = line
		}
		same("CutInt", &r, &w, got, want)
		if ok != okInt || ok && (number != x || gotEntry != entry()) {
			t.Fatalf("CutInt of %q by %q is %d, %v, want %d, %v", line, c, number, okInt, x, ok)
		}
	})
}
