package loggroup

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/internal/record"
)

// referenceDecode reads a LogGroup the slow way, with the limits and refusals
// that Decode documents.
func referenceDecode(data []byte) (*Group, error) {
	g := new(Group)
	err := eachField(data, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
		if num >= 1 && num <= 6 && typ != protowire.BytesType {
			return errors.New("wrong wire type")
		}
		switch num {
		case 1:
			l, err := referenceLog(v)
			if err != nil {
				return err
			}
			g.Logs = append(g.Logs, l)
		case 2:
			g.Category = v
		case 3:
			g.Topic = v
		case 4:
			g.Source = v
		case 5:
			g.MachineUUID = v
		case 6:
			p, err := referencePair(v)
			if err != nil {
				return err
			}
			g.Tags = append(g.Tags, p)
		}
		return nil
	})
	return g, err
}

func referenceLog(data []byte) (Log, error) {
	var l Log
	timed := false
	err := eachField(data, func(num protowire.Number, typ protowire.Type, v []byte, n uint64) error {
		switch {
		case num == 1 && typ == protowire.VarintType && n <= math.MaxUint32:
			l.Time, timed = uint32(n), true
		case num == 2 && typ == protowire.BytesType:
			p, err := referencePair(v)
			if err != nil {
				return err
			}
			l.Contents = append(l.Contents, p)
		case num == 4 && typ == protowire.Fixed32Type:
			l.TimeNS = uint32(n)
		case num == 1 || num == 2 || num == 4:
			return errors.New("wrong wire type")
		}
		return nil
	})
	if err == nil && !timed {
		err = errors.New("no time")
	}
	return l, err
}

func referencePair(data []byte) (Pair, error) {
	var p Pair
	var key, value bool
	err := eachField(data, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
		switch {
		case num == 1 && typ == protowire.BytesType:
			p.Key, key = v, true
		case num == 2 && typ == protowire.BytesType:
			p.Value, value = v, true
		case num == 1 || num == 2:
			return errors.New("wrong wire type")
		}
		return nil
	})
	if err == nil && !(key && value) {
		err = errors.New("no key or value")
	}
	return p, err
}

func eachField(data []byte, f func(protowire.Number, protowire.Type, []byte, uint64) error) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 || num > protowire.MaxValidNumber {
			return errors.New("bad tag")
		}
		data = data[n:]
		var v []byte
		var number uint64
		switch typ {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var short uint32
			short, n = protowire.ConsumeFixed32(data)
			number = uint64(short)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(data)
		default:
			n = -1
		}
		if n < 0 {
			return errors.New("bad value")
		}
		data = data[n:]
		if err := f(num, typ, v, number); err != nil {
			return err
		}
	}
	return nil
}

// requireSame compares groups by content: nil and empty are the same.
func requireSame(t require.TestingT, want, got *Group) {
	require.Len(t, got.Logs, len(want.Logs))
	for i := range want.Logs {
		require.Equal(t, want.Logs[i].Time, got.Logs[i].Time)
		require.Equal(t, want.Logs[i].TimeNS, got.Logs[i].TimeNS)
		requireSamePairs(t, want.Logs[i].Contents, got.Logs[i].Contents)
	}
	requireSamePairs(t, want.Tags, got.Tags)
	require.Equal(t, string(want.Topic), string(got.Topic))
	require.Equal(t, string(want.Source), string(got.Source))
	require.Equal(t, string(want.MachineUUID), string(got.MachineUUID))
	require.Equal(t, string(want.Category), string(got.Category))
}

func requireSamePairs(t require.TestingT, want, got []Pair) {
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, string(want[i].Key), string(got[i].Key))
		require.Equal(t, string(want[i].Value), string(got[i].Value))
	}
}

func TestRoundTrip(t *testing.T) {
	text := rapid.OneOf(rapid.StringN(0, 40, -1), rapid.Just(strings.Repeat("x", 127)),
		rapid.Just(strings.Repeat("y", 128)), rapid.Just(strings.Repeat("z", 20_000)))
	var got Group // reused, as a receiver does
	rapid.Check(t, func(t *rapid.T) {
		b := record.Get(&record.Origin{})
		defer b.Release()
		b.ReadTime = 7_000_000_009
		want := new(Group)
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			r := b.Add(nil)
			r.Time = rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, math.MaxUint32*1e9)).Draw(t, "time")
			r.Fields = nil
			l := Log{Time: uint32(r.Time / 1e9), TimeNS: uint32(r.Time % 1e9)}
			if r.Time == 0 {
				l = Log{Time: 7, TimeNS: 9}
			}
			for range rapid.IntRange(0, 12).Draw(t, "fields") {
				k, v := text.Draw(t, "key"), text.Draw(t, "value")
				r.Fields = append(r.Fields, record.Field{Name: []byte(k), Value: []byte(v)})
				l.Contents = append(l.Contents, Pair{[]byte(k), []byte(v)})
			}
			r.Marks = record.Mark(rapid.IntRange(0, 63).Draw(t, "marks"))
			if r.Marks != 0 {
				l.Contents = append(l.Contents, Pair{[]byte("__marks__"), r.Marks.AppendText(nil)})
			}
			want.Logs = append(want.Logs, l)
		}
		h := Header{Topic: text.Draw(t, "topic"), Source: text.Draw(t, "source"), MachineUUID: text.Draw(t, "uuid")}
		want.Topic, want.Source, want.MachineUUID = []byte(h.Topic), []byte(h.Source), []byte(h.MachineUUID)
		for range rapid.IntRange(0, 5).Draw(t, "tags") {
			tag := Tag{text.Draw(t, "key"), text.Draw(t, "value")}
			h.Tags = append(h.Tags, tag)
			want.Tags = append(want.Tags, Pair{[]byte(tag.Key), []byte(tag.Value)})
		}
		data := Append([]byte("before"), b, &h)
		require.Equal(t, "before", string(data[:6]))
		reference, err := referenceDecode(data[6:])
		require.NoError(t, err)
		requireSame(t, want, reference)
		require.NoError(t, got.Decode(data[6:]))
		requireSame(t, want, &got)
		require.Equal(t, data[6:], AppendGroup(nil, &got), "a decoded group encodes to the same message")
	})
}

func TestTimesOutsideTheMessageAreMovedToItsEdges(t *testing.T) {
	b := record.Get(&record.Origin{})
	defer b.Release()
	for _, nano := range []int64{-1, math.MinInt64, math.MaxInt64, math.MaxUint32*1_000_000_000 + 999_999_999} {
		b.Add([]byte("x")).Time = nano
	}
	var g Group
	require.NoError(t, g.Decode(Append(nil, b, &Header{})))
	require.Equal(t, []uint32{0, 0, math.MaxUint32, math.MaxUint32},
		[]uint32{g.Logs[0].Time, g.Logs[1].Time, g.Logs[2].Time, g.Logs[3].Time})
	require.Equal(t, []uint32{0, 0, 0, 999_999_999},
		[]uint32{g.Logs[0].TimeNS, g.Logs[1].TimeNS, g.Logs[2].TimeNS, g.Logs[3].TimeNS})
}

func TestDecodeRefuses(t *testing.T) {
	pair := "\x0a\x01k\x12\x01v"
	for name, data := range map[string]string{
		"truncated length":        "\x0a\xff",
		"length past the end":     "\x0a\x05\x08\x01",
		"log without time":        "\x0a\x08\x12\x06" + pair,
		"content without key":     "\x0a\x07\x08\x01\x12\x03\x12\x01v",
		"content without value":   "\x0a\x07\x08\x01\x12\x03\x0a\x01k",
		"tag without value":       "\x32\x03\x0a\x01k",
		"time as bytes":           "\x0a\x03\x0a\x01x",
		"time of 33 bits":         "\x0a\x06\x08\x80\x80\x80\x80\x10",
		"time nanoseconds varint": "\x0a\x04\x08\x01\x20\x01",
		"topic as number":         "\x18\x01",
		"wire type 3":             "\x3b",
		"wire type 7":             "\x3f\x00",
		"field number 0":          "\x02\x00",
		"field number too large":  "\x82\x80\x80\x80\x10\x00",
		"varint of 11 bytes":      "\x38\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
		"truncated unknown":       "\x3d\x01\x02",
		"content past its log":    "\x0a\x06\x08\x01\x12\x06" + pair,
	} {
		t.Run(name, func(t *testing.T) {
			var g Group
			require.Error(t, g.Decode([]byte(data)))
			_, err := referenceDecode([]byte(data))
			require.Error(t, err)
		})
	}
}

func TestDecodeSkipsFieldsItDoesNotKnow(t *testing.T) {
	log := "\x08\x01" + "\x1a\x02vv" + "\x12\x08" + "\x0a\x01k\x12\x01v\x18\x07"
	data := "\x38\x96\x01" + "\x3d1234" + "\x3912345678" + "\x0a" + string(rune(len(log))) + log
	var g Group
	require.NoError(t, g.Decode([]byte(data)))
	require.Len(t, g.Logs, 1)
	requireSamePairs(t, []Pair{{[]byte("k"), []byte("v")}}, g.Logs[0].Contents)
}

func TestDecodeLimits(t *testing.T) {
	log := []byte("\x0a\x02\x08\x01")
	var g Group
	require.NoError(t, g.Decode(bytes.Repeat(log, LogsMax)))
	require.ErrorContains(t, g.Decode(bytes.Repeat(log, LogsMax+1)), "too many logs")

	content := []byte("\x12\x04\x0a\x00\x12\x00")
	logOf := func(n int) []byte {
		l := append([]byte("\x08\x01"), bytes.Repeat(content, n)...)
		return append(protowire.AppendVarint([]byte("\x0a"), uint64(len(l))), l...)
	}
	require.NoError(t, g.Decode(append(logOf(ContentsMax), logOf(ContentsMax)...)))
	require.Len(t, g.Logs[1].Contents, ContentsMax)
	require.ErrorContains(t, g.Decode(logOf(ContentsMax+1)), "too many contents")

	tag := []byte("\x32\x04\x0a\x00\x12\x00")
	require.NoError(t, g.Decode(bytes.Repeat(tag, ContentsMax)))
	require.ErrorContains(t, g.Decode(bytes.Repeat(tag, ContentsMax+1)), "too many tags")
}

func TestDecodeGivesBackTheMemoryOfAHugeMessage(t *testing.T) {
	var g Group
	require.NoError(t, g.Decode(bytes.Repeat([]byte("\x0a\x02\x08\x01"), LogsMax)))
	require.NoError(t, g.Decode(nil))
	require.LessOrEqual(t, cap(g.Logs), pairsKeptMax)
}

func TestWireDoesNotAllocateInSteadyState(t *testing.T) {
	b := fieldBatch(64 << 10)
	defer b.Release()
	b.Records[3].Marks = record.Split | record.Failed
	h := &Header{Topic: "t", Tags: []Tag{{TagPath, "/var/log/x"}}}
	var data, offsets, ends []byte
	var g Group
	var parsed []int64
	run := func() {
		data = Append(data[:0], b, h)
		offsets = AppendOffsets(offsets[:0], b)
		ends = AppendEnds(ends[:0], b)
		parsed, _ = ParseOffsets(parsed[:0], offsets)
		if err := g.Decode(data); err != nil {
			t.Fatal(err)
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(50, run))
}

func TestOffsetsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := record.Get(&record.Origin{})
		defer b.Release()
		b.Start = rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "start")
		gap := rapid.OneOf(rapid.Int64Range(0, 700), rapid.Int64Range(0, 1<<40))
		var want []int64
		offset := b.Start
		for range rapid.IntRange(0, 50).Draw(t, "records") {
			offset += gap.Draw(t, "gap")
			b.Add(nil).Offset = offset
			want = append(want, offset-b.Start)
		}
		got, err := ParseOffsets(nil, AppendOffsets(nil, b))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// TestEndsAreThoseThatOffsetsDoNotTell compares with a map of single bytes.
func TestEndsAreThoseThatOffsetsDoNotTell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := record.Get(&record.Origin{})
		defer b.Release()
		b.Start = rapid.Int64Range(0, 1000).Draw(t, "start")
		at := b.Start + rapid.Int64Range(0, 3).Draw(t, "before")
		var holes []int64 // where bytes begin that no record holds, after one
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			size := rapid.Int64Range(1, 300).Draw(t, "size")
			for row := range rapid.IntRange(1, 3).Draw(t, "rows") {
				r := b.Add(nil)
				r.Offset = at
				if row == 0 { // the bytes are the first row's
					r.Size = size
				}
			}
			if size > 1 && rapid.Bool().Draw(t, "rest went elsewhere") {
				b.Records[len(b.Records)-1].Size = 0
				if n := len(b.Records); n == 1 || b.Records[n-2].Offset != at {
					holes = append(holes, at+1-b.Start)
					at += size
					continue
				}
			}
			at += size
			if hole := rapid.Int64Range(0, 2).Draw(t, "hole"); hole > 0 {
				holes = append(holes, at-b.Start)
				at += hole
			}
		}
		b.End = at
		got, err := ParseOffsets(nil, AppendEnds(nil, b))
		require.NoError(t, err)
		require.Equal(t, holes, got)
	})
}

func TestParseOffsetsRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"not base64": "A*", "padding": "AA==", "one digit left over": "AAAAA", "stray bits": "AB",
		"truncated varint": "gA", "negative": "AQ", "long form of zero": "gAA", "newline": "AA\nAA",
		"varint of 11 bytes": "gICAgICAgICAgIAB",
	} {
		_, err := ParseOffsets(nil, []byte(s))
		require.Error(t, err, name)
	}
	got, err := ParseOffsets(nil, nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

func FuzzParseOffsets(f *testing.F) {
	f.Add([]byte("AsgB"))
	f.Add([]byte("yAHIAcgByAHIAQ"))
	f.Fuzz(func(t *testing.T, s []byte) {
		got, err := ParseOffsets(nil, s)
		if err != nil {
			return
		}
		b := record.Get(&record.Origin{})
		defer b.Release()
		for _, o := range got {
			b.Add(nil).Offset = o
		}
		require.Equal(t, string(s), string(AppendOffsets(nil, b)), "accepted text is the one text of its offsets")
	})
}

func FuzzDecode(f *testing.F) {
	b := fieldBatch(600)
	f.Add(Append(nil, b, &Header{Topic: "t", Source: "s", MachineUUID: "m", Tags: []Tag{{"k", "v"}}}))
	b.Release()
	f.Add([]byte("\x38\x96\x01\x3d1234\x0a\x0c\x08\x01\x12\x08\x0a\x01k\x12\x01v\x18\x07"))
	var g Group
	f.Fuzz(func(t *testing.T, data []byte) {
		want, errWant := referenceDecode(data)
		err := g.Decode(data)
		if errWant != nil {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		requireSame(t, want, &g)
	})
}
