package otlp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/protofield"
)

// format cuts export requests: an item's Group holds what stands around its record,
// as a message of two fields, the head of the ResourceLogs and that of the
// ScopeLogs.
type format struct{}

const (
	groupHead  = 1
	groupScope = 2
)

var errRequest = errors.New("cannot read the payload: it is no export request of this output")

// Split implements dispatch.Format.
func (format) Split(raw []byte) (items []dispatch.Item, err error) {
	err = protofield.Each(raw, func(f protofield.Field) error {
		if f.Number != requestResourceLogs || f.Bytes == nil {
			return errRequest
		}
		head, err := around(f.Bytes, resourceLogsScopes)
		if err != nil {
			return err
		}
		return protofield.Each(f.Bytes, func(f protofield.Field) error {
			if f.Number != resourceLogsScopes {
				return nil
			}
			scope, err := around(f.Bytes, scopeLogsRecords)
			if err != nil {
				return err
			}
			group := protofield.AppendBytes(protofield.AppendBytes(nil, groupHead, head), groupScope, scope)
			return protofield.Each(f.Bytes, func(f protofield.Field) error {
				if f.Number == scopeLogsRecords {
					items = append(items, dispatch.Item{Group: group, Record: f.Bytes})
				}
				return nil
			})
		})
	})
	return items, err
}

// around is a message without the fields of one number; it has only bytes.
func around(message []byte, inner int) (rest []byte, err error) {
	err = protofield.Each(message, func(f protofield.Field) error {
		if f.Bytes == nil {
			return errRequest
		}
		if int(f.Number) != inner {
			rest = protofield.AppendBytes(rest, f.Number, f.Bytes)
		}
		return nil
	})
	return rest, err
}

// Join implements dispatch.Format.
func (format) Join(dst []byte, items []dispatch.Item) []byte {
	for len(items) > 0 {
		var records []byte
		n := 0
		for n < len(items) && bytes.Equal(items[n].Group, items[0].Group) {
			records = protofield.AppendBytes(records, scopeLogsRecords, items[n].Record)
			n++
		}
		dst = appendRequest(dst, protofield.Find(items[0].Group, groupHead), protofield.Find(items[0].Group, groupScope), records)
		items = items[n:]
	}
	return dst
}

// Show implements dispatch.Format.
func (format) Show(dst []byte, it dispatch.Item) []byte {
	var r logs.LogRecord
	if proto.Unmarshal(it.Record, &r) == nil {
		if text, err := protojson.Marshal(&r); err == nil {
			return append(dst, text...)
		}
	}
	text, err := json.Marshal(it.Record) // Base64
	if err != nil {
		panic("BUG: bytes cannot be JSON: " + err.Error())
	}
	return append(dst, text...)
}

// Field numbers of ExportLogsServiceResponse and of google.rpc.Status.
const (
	responsePartial = 1
	partialRejected = 1
	partialMessage  = 2
	statusMessage   = 2
)

// messageBytesMax bounds what a receiver says.
const messageBytesMax = 400

// partial reads the answer to a request that was taken, of which some records may be
// refused.
func partial(body []byte) (v dispatch.Verdict, err error) {
	err = protofield.Each(body, func(f protofield.Field) error {
		if f.Number != responsePartial {
			return nil
		}
		return protofield.Each(f.Bytes, func(f protofield.Field) error {
			switch f.Number {
			case partialRejected:
				v.Unnamed = int(min(f.Value, 1<<30))
			case partialMessage:
				v.UnnamedReason = transport.Clean(string(f.Bytes), messageBytesMax)
			}
			return nil
		})
	})
	return v, err
}

// answer reads an answer of status 2xx. Receivers that answer with JSON, or with
// nothing, have taken all.
func answer(r *transport.Response, _ int) (v dispatch.Verdict, err error) {
	switch {
	case r.Status != http.StatusOK && r.Status != http.StatusNoContent && r.Status != http.StatusAccepted || dispatch.IsMisplaced(&transport.Failure{Body: r.Body}):
		return v, &transport.Failure{Status: r.Status, Message: "the answer is none to an export request, so it is not the receiver's: is there a proxy in between?"}
	case bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("{")):
		return partialJSON(r.Body), nil
	}
	if v, err = partial(r.Body); err != nil {
		return v, &transport.Failure{Status: r.Status, Message: "the answer cannot be read: " + err.Error()}
	}
	return v, nil
}

// partialJSON is partial for receivers that answer in the other encoding.
func partialJSON(body []byte) (v dispatch.Verdict) {
	var a struct {
		Partial struct {
			Rejected json.Number `json:"rejectedLogRecords"`
			Message  string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(body, &a) == nil {
		n, _ := a.Partial.Rejected.Int64() // none is 0
		v.Unnamed, v.UnnamedReason = int(max(0, min(n, 1<<30))), transport.Clean(a.Partial.Message, messageBytesMax)
	}
	return v
}

// classify takes the protocol's word on which failures to try again: 429, 502, 503
// and 504, and none at all. What is about rights or the address is kept until
// someone changes it; other requests are never taken.
func classify(f *transport.Failure) {
	if f.Status == 0 {
		return
	}
	if text := protofield.Find(f.Body, statusMessage); len(text) > 0 {
		f.Message = transport.Clean(string(text), messageBytesMax)
	}
	switch {
	case dispatch.IsMisplaced(f) && f.Status < 500:
	case f.Status == http.StatusBadRequest || f.Status == http.StatusUnprocessableEntity:
		f.Class, f.Advice = transport.BadData, ""
	case f.Status == http.StatusInternalServerError || f.Status == http.StatusNotImplemented || f.Status > http.StatusGatewayTimeout:
		f.Class = transport.Rejected
		f.Advice = fmt.Sprintf("; a receiver that could take it later must answer 503, and not %d", f.Status)
	}
}
