package record

import (
	"bytes"
	"testing"
)

func TestLocateFindsValuesByPlace(t *testing.T) {
	b := Get(&Origin{})
	defer b.Release()
	all := b.Copy([]byte("one two three"))
	arena, at := b.Locate(all[4:7])
	if at < 0 || string(arena[at:at+3]) != "two" {
		t.Fatalf("found %d, want the place of two", at)
	}
	if _, at := b.Locate([]byte("elsewhere")); at != -1 {
		t.Errorf("a value that is not in the arena is found at %d", at)
	}
	if _, at := b.Locate(all[:0]); at != -1 {
		t.Errorf("an empty value is found at %d", at)
	}
	big := b.Copy(bytes.Repeat([]byte("x"), ChunkBytes+1))
	if arena, at := b.Locate(big[ChunkBytes:]); at < 0 || arena[at] != 'x' {
		t.Errorf("a value in another part of the arena is found at %d", at)
	}
}

func TestWithinKnowsTheEdges(t *testing.T) {
	all := []byte("0123456789")
	for _, c := range []struct {
		p    []byte
		want int
	}{{all, 0}, {all[9:], 9}, {all[:1], 0}, {nil, -1}, {bytes.Clone(all), -1}} {
		if got := Within(all, c.p); got != c.want {
			t.Errorf("Within(%q) = %d, want %d", c.p, got, c.want)
		}
	}
	if got := Within(all[:5], all[3:8]); got != -1 {
		t.Errorf("a value that reaches beyond the end is found at %d", got)
	}
	if got := Within(all[5:], all[3:8]); got != -1 {
		t.Errorf("a value that begins before the start is found at %d", got)
	}
}

func TestAClonedRecordOutlivesItsBatch(t *testing.T) {
	b := Get(&Origin{})
	r := b.Add([]byte("line"))
	r.Offset, r.Size, r.Marks = 7, 5, Partial
	kept := r.Clone()
	b.Release()
	next := Get(&Origin{})
	defer next.Release()
	got := next.Adopt(&kept)
	if string(got.Raw) != "line" || string(got.Fields[0].Value) != "line" || got.Offset != 7 || got.Size != 5 || got.Marks != Partial {
		t.Fatalf("the record came back as %+v", got)
	}
}
