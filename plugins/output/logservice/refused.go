package logservice

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// refusedRecord is a record that a receiver refused for good, for people to read.
type refusedRecord struct {
	Logstore string            `json:"logstore"`
	Batch    string            `json:"batch"`
	Reason   string            `json:"reason"`
	Time     time.Time         `json:"time"`
	Tags     map[string]string `json:"tags"`
	// Record has the fields; the values of those in Base64 are no valid text.
	Record map[string]string `json:"record"`
	Base64 []string          `json:"base64,omitempty"`
}

// appendRefused appends logs of a payload's group as lines of JSON.
func appendRefused(dst []byte, p *payload, g *loggroup.Group, reason error) []byte {
	tags := map[string]string{}
	for _, t := range g.Tags {
		switch key := string(t.Key); key {
		case loggroup.TagOffsets, loggroup.TagEnds, loggroup.TagCounts: // of the whole batch
		default:
			tags[key] = string(t.Value)
		}
	}
	for i := range g.Logs {
		l := &g.Logs[i]
		r := refusedRecord{
			Logstore: p.logstore, Batch: p.batchID, Reason: reason.Error(), Tags: tags,
			Time: time.Unix(int64(l.Time), int64(l.TimeNS)).UTC(), Record: make(map[string]string, len(l.Contents)),
		}
		for _, c := range l.Contents {
			key, value := string(c.Key), string(c.Value)
			if !utf8.Valid(c.Value) {
				value = base64.StdEncoding.EncodeToString(c.Value)
				r.Base64 = append(r.Base64, key)
			}
			r.Record[key] = value
		}
		line, err := json.Marshal(&r)
		if err != nil {
			continue // texts can always be written
		}
		dst = append(append(dst, line...), '\n')
	}
	return dst
}

// rejected is the error for a payload of which no record can be saved.
func (o *Output) rejected(p *payload, why error) error {
	err := &pipeline.RejectedError{Err: fmt.Errorf("cannot send batch %s: %w", p.batchID, why)}
	if raw, errInflate := loggroup.Decompress(nil, p.body, p.codec, p.rawBytes); errInflate == nil {
		var g loggroup.Group
		if g.Decode(raw) == nil {
			err.Records = appendRefused(nil, p, &g, why)
		}
	}
	return err
}
