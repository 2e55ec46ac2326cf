package stream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// Identity says where a batch comes from and where it goes.
type Identity struct {
	Project, Logstore string
	// What an agent says about itself and the file; empty for other clients.
	Agent, Pipeline, Generation, Hostname, Path string
	// HasRange is true for an agent's batch, which accounts for the bytes from
	// Start to before End of the generation.
	HasRange   bool
	Start, End int64
	// Routed is true for the part of a batch that was sent to another log store
	// than the pipeline's own.
	Routed bool
	// Counts of the records in the range, by outcome.
	Parsed, Failed, Filtered int64
	// Offsets of the records, one each; nil without a range.
	Offsets []int64
	// Ends of the records that are followed by bytes of the range which no record
	// holds, because a filter took them or they went elsewhere.
	Ends []int64
}

// kind tells what comes from one file from what comes from others, and of other clients
// what goes to one log store.
func (id *Identity) kind() string {
	if id.Generation != "" {
		return id.Agent + "/" + id.Generation
	}
	return id.Project + "/" + id.Logstore
}

// BatchID names the batch: agent/generation/start-end. Empty without a range.
func (id *Identity) BatchID() string {
	if !id.HasRange {
		return ""
	}
	return id.Agent + "/" + id.Generation + "/" + strconv.FormatInt(id.Start, 10) + "-" + strconv.FormatInt(id.End, 10)
}

// messageID is the identity under which the stream drops repeats.
func (id *Identity) messageID() string {
	if !id.HasRange {
		return ""
	}
	return strings.TrimPrefix(entryKey(id), entryPrefix) + "/" + strconv.FormatInt(id.Start, 10) + "-" + strconv.FormatInt(id.End, 10)
}

// ErrTags says that the reserved tags of a group contradict each other or its
// records: the group cannot be accounted for.
var ErrTags = errors.New("the group's reserved tags are not valid")

// idBytesMax bounds an agent's identity and the like.
const idBytesMax = 256

// Identify reads the reserved tags of a decoded group. The error is ErrTags.
// The strings are copies; id.Offsets and id.Ends are reused.
func Identify(id *Identity, g *loggroup.Group) error {
	offsets, ends := id.Offsets[:0], id.Ends[:0]
	*id = Identity{Project: id.Project, Logstore: id.Logstore}
	get := func(key string) string { return string(g.Tag(key)) }
	id.Hostname, id.Path = get(loggroup.TagHostname), get(loggroup.TagPath)
	id.Agent, id.Pipeline, id.Generation = get(loggroup.TagAgent), get(loggroup.TagPipeline), get(loggroup.TagGeneration)
	span := get(loggroup.TagRange)
	if span == "" {
		return nil
	}
	if id.Agent == "" || id.Generation == "" || len(id.Agent)+len(id.Generation)+len(id.Pipeline) > idBytesMax {
		return fmt.Errorf("%w: a range needs an agent and a generation of at most %d bytes", ErrTags, idBytesMax)
	}
	start, end, ok := strings.Cut(span, "-")
	var err1, err2 error
	id.Start, err1 = strconv.ParseInt(start, 10, 64)
	id.End, err2 = strconv.ParseInt(end, 10, 64)
	if !ok || err1 != nil || err2 != nil || id.Start < 0 || id.End <= id.Start {
		return fmt.Errorf("%w: the range is not start-end", ErrTags)
	}
	id.HasRange, id.Routed = true, get(loggroup.TagRouted) == "1"
	if err := id.counts(get(loggroup.TagCounts), len(g.Logs)); err != nil {
		return err
	}
	offsets, err := loggroup.ParseOffsets(offsets, g.Tag(loggroup.TagOffsets))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTags, err)
	}
	if len(offsets) != len(g.Logs) {
		return fmt.Errorf("%w: %d offsets for %d records", ErrTags, len(offsets), len(g.Logs))
	}
	for i := range offsets {
		offsets[i] += id.Start
		if offsets[i] < id.Start || offsets[i] >= id.End {
			return fmt.Errorf("%w: record %d lies outside of the range", ErrTags, i)
		}
	}
	id.Offsets = offsets
	return id.ends(ends, g.Tag(loggroup.TagEnds))
}

// ends reads the ends into the memory of dst.
func (id *Identity) ends(dst []int64, text []byte) error {
	dst, err := loggroup.ParseOffsets(dst, text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTags, err)
	}
	last := id.Start
	for i := range dst {
		dst[i] += id.Start
		if dst[i] <= last || dst[i] >= id.End {
			return fmt.Errorf("%w: end %d lies outside of the range, or before another", ErrTags, i)
		}
		last = dst[i]
	}
	id.Ends = dst
	return nil
}

// extents finds the bytes of one record of a batch after the other.
type extents struct {
	id    *Identity
	until int // end holds for the records before it
	end   int64
}

// of returns the range of record i; i does not go back. What was made of one
// record has one range. A record that was joined over lines a filter took may
// seem shorter than it is, and one that is followed by an earlier one empty.
func (e *extents) of(i int) Range {
	id := e.id
	offset := id.Offsets[i]
	if i < e.until {
		return Range{offset, e.end}
	}
	for e.until = i + 1; e.until < len(id.Offsets) && id.Offsets[e.until] == offset; {
		e.until++
	}
	e.end = id.End
	if e.until < len(id.Offsets) {
		e.end = id.Offsets[e.until]
	}
	if n, _ := slices.BinarySearch(id.Ends, offset+1); n < len(id.Ends) {
		e.end = min(e.end, id.Ends[n])
	}
	return Range{offset, e.end}
}

// counts reads "parsed,failed,filtered".
func (id *Identity) counts(text string, logs int) error {
	if text == "" {
		id.Parsed = int64(logs)
		return nil
	}
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return fmt.Errorf("%w: the counts are not parsed,failed,filtered", ErrTags)
	}
	for i, dst := range []*int64{&id.Parsed, &id.Failed, &id.Filtered} {
		n, err := strconv.ParseInt(parts[i], 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: the counts are not parsed,failed,filtered", ErrTags)
		}
		*dst = n
	}
	return nil
}
