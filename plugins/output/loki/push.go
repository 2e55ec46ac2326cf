package loki

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/protofield"
)

// format cuts push requests: an item's Group is the labels of its stream.
type format struct{}

var errPush = errors.New("cannot read the payload: it is no push request")

// Split implements dispatch.Format.
func (format) Split(raw []byte) (items []dispatch.Item, err error) {
	err = protofield.Each(raw, func(s protofield.Field) error {
		if s.Number != pushStreams || s.Bytes == nil {
			return errPush
		}
		var labels []byte
		return protofield.Each(s.Bytes, func(f protofield.Field) error {
			switch {
			case f.Number == streamLabels && f.Bytes != nil:
				labels = f.Bytes
			case f.Number == streamEntries && f.Bytes != nil:
				items = append(items, dispatch.Item{Group: labels, Record: f.Bytes})
			default:
				return errPush
			}
			return nil
		})
	})
	return items, err
}

// Join implements dispatch.Format.
func (format) Join(dst []byte, items []dispatch.Item) []byte {
	for len(items) > 0 {
		n, size := 0, protofield.TextSize(streamLabels, items[0].Group)
		for n < len(items) && bytes.Equal(items[n].Group, items[0].Group) {
			size += protowire.SizeTag(streamEntries) + protowire.SizeBytes(len(items[n].Record))
			n++
		}
		dst = protowire.AppendTag(dst, pushStreams, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = protofield.AppendText(dst, streamLabels, items[0].Group)
		for _, it := range items[:n] {
			dst = protofield.AppendBytes(dst, streamEntries, it.Record)
		}
		items = items[n:]
	}
	return dst
}

// shown is an entry for people.
type shown struct {
	Time     time.Time         `json:"time"`
	Labels   string            `json:"labels"`
	Line     string            `json:"line"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Show implements dispatch.Format.
func (format) Show(dst []byte, it dispatch.Item) []byte {
	s := shown{Labels: string(it.Group)}
	var seconds, nanos uint64
	_ = protofield.Each(it.Record, func(f protofield.Field) error { // what can be read of it is shown
		switch f.Number {
		case entryTime:
			return protofield.Each(f.Bytes, func(f protofield.Field) error {
				if f.Number == timeSeconds {
					seconds = f.Value
				} else {
					nanos = f.Value
				}
				return nil
			})
		case entryLine:
			s.Line = string(f.Bytes)
		case entryMetadata:
			if s.Metadata == nil {
				s.Metadata = map[string]string{}
			}
			s.Metadata[string(protofield.Find(f.Bytes, pairName))] = string(protofield.Find(f.Bytes, pairValue))
		}
		return nil
	})
	s.Time = time.Unix(int64(seconds), int64(nanos)).UTC()
	text, err := json.Marshal(&s)
	if err != nil { // a year that JSON has no text for
		s.Time = time.Time{}
		text, _ = json.Marshal(&s)
	}
	return append(dst, text...)
}

// answer takes what says that the receiver has it: Loki answers 204, others 200. A
// page for people is that of something in between.
func answer(r *transport.Response, _ int) (v dispatch.Verdict, err error) {
	if r.Status == 204 || r.Status == 200 && !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		return v, nil
	}
	return v, &transport.Failure{Status: r.Status, Message: "the answer is none to a push request, so it is not the receiver's: is there a proxy in between?"}
}

// classify: 400 is for entries that Loki refuses, too old or too long, out of order
// or with too many labels. It has stored the others of the request.
func classify(f *transport.Failure) {
	if f.Status != 400 {
		return
	}
	switch {
	case dispatch.IsMisplaced(f):
	case strings.Contains(f.Message, "structured metadata") && (strings.Contains(f.Message, "disallowed") || strings.Contains(f.Message, "not allowed") || strings.Contains(f.Message, "not support")):
		f.Advice = "; let Loki take structured metadata (allow_structured_metadata), or set structured_metadata: false"
	default:
		f.Class = transport.BadData
		f.Advice = ""
	}
}
