package elasticsearch

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
)

// format cuts bulk bodies: an item's Group is its action, both lines with their
// ends.
type format struct{}

var errBulk = errors.New("cannot read the payload: it is no bulk request")

// Split implements dispatch.Format.
func (format) Split(raw []byte) (items []dispatch.Item, err error) {
	for len(raw) > 0 {
		action := bytes.IndexByte(raw, '\n') + 1
		doc := bytes.IndexByte(raw[action:], '\n') + 1
		if action == 0 || doc == 0 {
			return nil, errBulk
		}
		items = append(items, dispatch.Item{Group: raw[:action], Record: raw[action : action+doc]})
		raw = raw[action+doc:]
	}
	return items, nil
}

// Join implements dispatch.Format.
func (format) Join(dst []byte, items []dispatch.Item) []byte {
	for _, it := range items {
		dst = append(append(dst, it.Group...), it.Record...)
	}
	return dst
}

// Show implements dispatch.Format.
func (format) Show(dst []byte, it dispatch.Item) []byte {
	dst = append(append(dst, `{"action":`...), bytes.TrimSpace(it.Group)...)
	return append(append(append(dst, `,"document":`...), bytes.TrimSpace(it.Record)...), '}')
}

// reasonBytesMax bounds what a receiver says of one record.
const reasonBytesMax = 400

// parsers are kept from one answer to the next.
var parsers fastjson.ParserPool

// verdict reads the answer to a bulk request of so many records.
func verdict(r *transport.Response, records int) (v dispatch.Verdict, err error) {
	p := parsers.Get()
	defer parsers.Put(p)
	answer, err := p.ParseBytes(r.Body)
	if err != nil || answer.Get("errors") == nil {
		return v, &transport.Failure{
			Status:  r.Status,
			Message: "the answer is none to a bulk request, so it is not the receiver's: is there a proxy in between? " + transport.Clean(string(r.Body[:min(len(r.Body), 200)]), 100),
		}
	}
	if answer.Get("errors").Type() == fastjson.TypeFalse {
		return v, nil
	}
	items := answer.GetArray("items")
	if len(items) != records {
		return v, &transport.Failure{Status: r.Status, Message: fmt.Sprintf("the answer tells of %d records, and %d were sent", len(items), records)}
	}
	for i, item := range items {
		op := item.Get("create")
		if op == nil {
			op = item.Get("index")
		}
		judge(&v, i, op)
	}
	return v, nil
}

// judge adds what the receiver says of one record to the verdict. What is not known
// is kept and tried again.
func judge(v *dispatch.Verdict, index int, op *fastjson.Value) {
	status := op.GetInt("status")
	reason := reasonOf(op)
	switch {
	case status >= 200 && status <= 299, status == http.StatusConflict: // it is there already
		return
	case (status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge) && !isAboutSettings(reason):
		v.Refused = append(v.Refused, dispatch.Refusal{Index: index, Reason: fmt.Sprintf("the receiver answered %d %s", status, reason)})
		return
	}
	v.Again = append(v.Again, index)
	class := transport.Misconfigured
	switch {
	case status == http.StatusTooManyRequests:
		class = transport.Quota
	case status >= 500:
		class = transport.Retry
	}
	if v.Why == nil || class == transport.Quota { // of several reasons, that which asks for less
		v.Why = &transport.Failure{Class: class, Status: status, Message: reason, Advice: advice(class)}
	}
}

// isAboutSettings is true for refusals that no record can help.
func isAboutSettings(reason string) bool { return strings.Contains(reason, "pipeline with id [") }

// reasonOf is what is wrong with a record.
func reasonOf(op *fastjson.Value) string {
	e := op.Get("error")
	if e == nil {
		return ""
	}
	if e.Type() == fastjson.TypeString {
		return transport.Clean(string(e.GetStringBytes()), reasonBytesMax)
	}
	text := string(e.GetStringBytes("type")) + ": " + string(e.GetStringBytes("reason"))
	if cause := e.GetStringBytes("caused_by", "reason"); len(cause) > 0 {
		text += " (" + string(cause) + ")"
	}
	return transport.Clean(text, reasonBytesMax)
}

// filter keeps the answer small: without it, it is half as large as the request.
const filter = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"

// classify reads errors of a request as a whole.
func classify(f *transport.Failure) {
	p := parsers.Get()
	defer parsers.Put(p)
	answer, err := p.ParseBytes(f.Body)
	if err == nil && answer.Get("error") != nil {
		f.Message = reasonOf(answer)
		if f.Status == http.StatusBadRequest && !isAboutSettings(f.Message) {
			f.Class = transport.BadData
		}
	}
	if f.Status != 0 {
		f.Advice = advice(f.Class)
	}
}

func advice(c transport.Class) string {
	switch c {
	case transport.Auth:
		return "; check auth, and that it may create documents in this index"
	case transport.Misconfigured:
		return "; check url, index and ingest_pipeline, and whether the index may be written to"
	}
	return ""
}
