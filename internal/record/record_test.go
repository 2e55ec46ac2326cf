package record

import (
	"bytes"
	"testing"
)

func TestAddDoesNotAllocateInSteadyState(t *testing.T) {
	b := Get(&Origin{})
	defer b.Release()
	line := []byte("GET / 200")
	fill := func() {
		for range 100 {
			b.Add(line).Size = int64(len(line)) + 1
		}
		b.Reset()
	}
	fill()
	if n := testing.AllocsPerRun(100, fill); n != 0 {
		t.Fatalf("filling a batch allocates %v times, want 0", n)
	}
}

func TestArenaNeverMovesWhatItHandedOut(t *testing.T) {
	b := Get(&Origin{})
	defer b.Release()
	var lines [][]byte
	for i := range 3000 {
		line := bytes.Repeat([]byte{byte(i)}, 1+i%700)
		lines = append(lines, line)
		b.Add(line)
	}
	b.Add(make([]byte, ChunkBytes+1)) // larger than a chunk
	for i, line := range lines {
		if !bytes.Equal(b.Records[i].Raw, line) {
			t.Fatalf("record %d changed after later additions", i)
		}
	}
}

func TestFailKeepsTheLineAndTheFirstReason(t *testing.T) {
	b := Get(&Origin{})
	defer b.Release()
	r := b.Add([]byte("odd line"))
	b.Fail(r, 0, []byte("regex: no match"))
	b.Fail(r, -1, []byte("later reason"))
	if len(r.Fields) != 2 {
		t.Fatalf("failed record has %d fields, want 2: %q", len(r.Fields), r.Fields)
	}
	if v, _ := r.Field(RawLog); string(v) != "odd line" {
		t.Errorf("%s = %q, want the line", RawLog, v)
	}
	if v, _ := r.Field(Error); string(v) != "regex: no match" {
		t.Errorf("%s = %q, want the first reason", Error, v)
	}
}

func TestKeepCountsWhatItRemoves(t *testing.T) {
	b := Get(&Origin{})
	defer b.Release()
	for _, s := range []string{"a", "bb", "ccc"} {
		b.Add([]byte(s)).Size = int64(len(s))
	}
	b.Keep(func(r *Record) bool { return len(r.Raw) != 2 })
	if len(b.Records) != 2 || b.Filtered != 1 || b.FilteredBytes != 2 {
		t.Fatalf("kept %d, filtered %d records of %d bytes; want 2, 1, 2", len(b.Records), b.Filtered, b.FilteredBytes)
	}
	if string(b.Records[1].Raw) != "ccc" {
		t.Errorf("order changed: %q", b.Records[1].Raw)
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	b := Get(&Origin{})
	b.Release()
	defer func() {
		if recover() == nil {
			t.Fatal("second Release did not panic")
		}
	}()
	b.Release()
}

func TestMarksAreNamed(t *testing.T) {
	if got := string((Split | Late).AppendText(nil)); got != "split,late" {
		t.Fatalf("marks read %q, want split,late", got)
	}
}

func TestABatchOwnsTheChunkItIsGiven(t *testing.T) {
	b := Get(&Origin{Ledger: &Ledger{}})
	if b.Own(make([]byte, 10)) {
		t.Fatal("it took what is no chunk")
	}
	first := b.Copy([]byte("first"))
	chunk := Chunk()
	line := chunk[100 : 100+copy(chunk[100:], "a line")]
	if len(chunk) != ChunkBytes || !b.Own(chunk[:200]) {
		t.Fatal("it did not take a chunk")
	}
	second := b.Copy([]byte("second"))
	if got := string(first) + string(second) + string(b.AddOwn(line).Fields[0].Value); got != "firstseconda line" {
		t.Fatalf("it holds %q", got)
	}
	if len(b.arena.list) != 2 {
		t.Fatalf("it has %d chunks: copies should go on in the one that they were in", len(b.arena.list))
	}
	b.Release()
}
