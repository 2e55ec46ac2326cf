package elasticsearch

import (
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/jsonline"
	"github.com/wasmtail/wasmtail/internal/placeholder"
	"github.com/wasmtail/wasmtail/internal/record"
)

// names are those of the Elastic Common Schema, or in our own namespace. A name that
// is an object there cannot be a text of a record as well: the receiver would refuse
// the record.
func names() jsonline.Names {
	return jsonline.Names{
		Time: "@timestamp", Seen: "event.created", Message: "message", Original: "event.original", Error: "wasmtail.parse.error",
		Marks: "wasmtail.marks", Path: "log.file.path", Offset: "log.offset", Host: "host.name",
		Pipeline: "wasmtail.pipeline", Logstore: "wasmtail.logstore", Generation: "wasmtail.generation",
		Prefix: "fields.", Taken: []string{
			"event", "log", "log.file", "host", "wasmtail", "wasmtail.parse", "fields",
			"_id", "_index", "_source", "_type", "_routing", "_field_names", "_ignored", "_doc_count", "_tier",
		},
	}
}

// writer writes the bulk bodies of one lane: an action and a document for each
// record.
type writer struct {
	index  *placeholder.Template
	values placeholder.Values
	id     record.Identity
	lines  *jsonline.Writer

	action []byte // the beginning of an action, with the index
	step   int64  // the hour that it is for
}

// NewEncoder returns an encoder for one lane.
func (o *Output) NewEncoder(pipelineName, logstore string) pipeline.Encoder {
	s := jsonline.Source{Agent: o.env.AgentID, Host: o.env.Hostname, Pipeline: pipelineName, Logstore: logstore}
	w := &writer{
		index: o.index, id: record.Identity{Agent: s.Agent, Stream: s.Stream()}, lines: jsonline.New(names(), s),
		values: placeholder.Values{Logstore: logstore, Pipeline: pipelineName, Host: strings.ToLower(o.env.Hostname)},
	}
	return &dispatch.Encoder{Codec: o.codec, Agent: o.env.AgentID, Write: w.append}
}

// append appends the body of b.
func (w *writer) append(dst []byte, b *record.Batch) []byte {
	w.id.Start(b)
	w.lines.Start(b)
	for i := range b.Records {
		r := &b.Records[i]
		at := r.Time
		if at == 0 {
			at = b.ReadTime
		}
		w.aim(at)
		dst = append(dst, w.action...)
		dst = append(w.id.AppendID(dst, r), "\"}}\n"...)
		dst = append(w.lines.Append(dst, r), '\n')
	}
	return dst
}

// aim makes the action for records of a time.
func (w *writer) aim(at int64) {
	step := at / int64(placeholder.DateStep)
	if at < 0 {
		step--
	}
	if w.action != nil && (step == w.step || !w.index.Dated()) {
		return
	}
	w.step = step
	w.action = append(w.action[:0], `{"create":{"_index":"`...)
	w.action = jsonline.AppendEscaped(w.action, []byte(w.index.Fill(w.values, time.Unix(0, at))))
	w.action = append(w.action, `","_id":"`...)
}
