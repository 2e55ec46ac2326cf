// Package loggroup speaks the body of a Log Service request both ways: the
// LogGroup protobuf message, its compression, and the tag that carries the
// offsets of its records.
//
// It promises a strict decoder that allocates nothing in steady state and never
// more than a fixed multiple of its input, and a decompressor that never
// inflates beyond the size it was told. It does not check what the values mean:
// times, key lengths and UTF-8 are the receiver's business.
//
// It starts no goroutines. Append functions extend dst and keep neither dst nor
// what they read. A decoded Group points into the bytes it was decoded from.
package loggroup

// The reserved tags an agent writes into a LogGroup.
const (
	// TagPath is the path of the file the records come from.
	TagPath = "__path__"
	// TagHostname is the name of the host the agent runs on.
	TagHostname = "__hostname__"
	// TagAgent is the identity of the agent: 32 lower-case hex digits.
	TagAgent = "__wt_agent__"
	// TagPipeline is the name of the pipeline.
	TagPipeline = "__wt_pipeline__"
	// TagGeneration is the source generation: 16 lower-case hex digits.
	TagGeneration = "__wt_generation__"
	// TagRange is the byte range of the source the group accounts for, as
	// "start-end" in decimal, end exclusive.
	TagRange = "__wt_range__"
	// TagOffsets is the offset of every Log; see AppendOffsets.
	TagOffsets = "__wt_offsets__"
	// TagEnds is the ends of the records that the next one does not follow at
	// once; see AppendEnds.
	TagEnds = "__wt_ends__"
	// TagRouted is "1" for a part of a batch that was sent to another log store
	// than the pipeline's own: there the ranges of a generation have gaps.
	TagRouted = "__wt_routed__"
	// TagCounts is "parsed,failed,filtered", the records of the range by outcome.
	TagCounts = "__wt_counts__"
)

// Header is what a LogGroup says about all its records. Empty strings are not
// written.
type Header struct {
	Topic, Source, MachineUUID string
	Tags                       []Tag
}

// Tag is one key and value that hold for all records of a group.
type Tag struct{ Key, Value string }

// Group is a decoded LogGroup. Its owner is whoever called Decode. Everything
// in it is valid until the next Decode, and points into the decoded bytes. Not
// safe for concurrent use while it is being decoded.
type Group struct {
	Logs                                 []Log
	Topic, Source, MachineUUID, Category []byte
	Tags                                 []Pair

	pairs []Pair // the Contents of all Logs
}

// Log is one record of a group.
type Log struct {
	// Time is in seconds since 1970 UTC, TimeNS the nanoseconds to add.
	Time, TimeNS uint32
	// Contents in the order of the message. Keys may repeat.
	Contents []Pair
}

// Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// Tag returns the value of the first tag with that key, nil if there is none.
func (g *Group) Tag(key string) []byte {
	for i := range g.Tags {
		if string(g.Tags[i].Key) == key {
			return g.Tags[i].Value
		}
	}
	return nil
}
