package specimen

import (
	"fmt"
	"time"

	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
)

// What Group says about its file: the agent's identity, the generation, the path,
// and the length of a line.
const (
	Agent      = "0123456789abcdef0123456789abcdef"
	Generation = "fedcba9876543210"
	Path       = "/var/log/app.log"
	LineBytes  = 10
)

// Piece is the place of one record in the file of Group.
type Piece struct{ Offset, Size int64 }

// Lines are the places of the lines [first, last).
func Lines(first, last int) []Piece {
	pieces := make([]Piece, 0, last-first)
	for i := first; i < last; i++ {
		pieces = append(pieces, Piece{int64(i * LineBytes), LineBytes})
	}
	return pieces
}

// Group is the LogGroup that an agent sends for the bytes [start, end) of a file
// when the pieces are its records. Each says "line", and which line it begins
// with.
func Group(start, end int64, pieces ...Piece) []byte {
	b := record.Get(&record.Origin{Generation: Generation, Path: Path, Ledger: &record.Ledger{}})
	defer b.Release()
	b.Start, b.End = start, end
	for _, p := range pieces {
		r := b.Add(fmt.Appendf(nil, "line %04d", p.Offset/LineBytes))
		r.Offset, r.Size = p.Offset, p.Size
		r.Time = time.Now().UnixNano()
	}
	tags := []loggroup.Tag{
		{Key: loggroup.TagHostname, Value: "host1"},
		{Key: loggroup.TagPath, Value: Path},
		{Key: loggroup.TagAgent, Value: Agent},
		{Key: loggroup.TagPipeline, Value: "main"},
		{Key: loggroup.TagGeneration, Value: Generation},
		{Key: loggroup.TagRange, Value: fmt.Sprintf("%d-%d", start, end)},
		{Key: loggroup.TagOffsets, Value: string(loggroup.AppendOffsets(nil, b))},
		{Key: loggroup.TagCounts, Value: fmt.Sprintf("%d,0,0", len(pieces))},
	}
	if ends := loggroup.AppendEnds(nil, b); len(ends) > 0 {
		tags = append(tags, loggroup.Tag{Key: loggroup.TagEnds, Value: string(ends)})
	}
	return loggroup.Append(nil, b, &loggroup.Header{Topic: "t", Source: "10.0.0.1", Tags: tags})
}
