package record

import "testing"

func identities(i *Identity, b *Batch) (ids []string) {
	i.Start(b)
	for n := range b.Records {
		ids = append(ids, string(i.AppendID(nil, &b.Records[n])))
	}
	return ids
}

func batchAt(generation string, offsets ...int64) *Batch {
	b := Get(&Origin{Generation: generation})
	for _, at := range offsets {
		b.Add([]byte("x")).Offset = at
	}
	return b
}

func TestIdentityDependsOnThePlaceAlone(t *testing.T) {
	whole := identities(&Identity{Agent: "a", Stream: "s"}, batchAt("g", 0, 5, 5, 5, 9))
	i := &Identity{Agent: "a", Stream: "s"}
	parts := append(identities(i, batchAt("g", 0)), identities(i, batchAt("g", 5, 5, 5, 9))...)
	seen := map[string]bool{}
	for n, id := range whole {
		if id != parts[n] || seen[id] || len(id) > IDBytesMax {
			t.Errorf("record %d is %q in one batch and %q in two", n, id, parts[n])
		}
		seen[id] = true
	}
	for _, other := range [][]string{
		identities(&Identity{Agent: "b", Stream: "s"}, batchAt("g", 0)),
		identities(&Identity{Agent: "a", Stream: "t"}, batchAt("g", 0)),
		identities(&Identity{Agent: "a", Stream: "s"}, batchAt("h", 0)),
		identities(i, batchAt("h", 0))[:0],
	} {
		for _, id := range other {
			if seen[id] {
				t.Errorf("%q names two records", id)
			}
		}
	}
	if got := identities(i, batchAt("other", 0))[0]; seen[got] {
		t.Error("a new generation keeps the names of the one before")
	}
}
