package httpin

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// isGroup reports whether a request is one of the Log Service protocol.
func isGroup(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/logstores/") }

// decodeGroup takes a PutLogs request: each log is a record with its contents, its time,
// and the group's topic, source and tags. The log store in the path is not used: the
// pipeline has its own.
func decodeGroup(q *request) (any, error) {
	codec, err := loggroup.ParseCodec(q.Header.Get("x-log-compresstype"))
	if err != nil {
		return nil, &problem{http.StatusBadRequest, "malformed", "x-log-compresstype names no compression that is known here"}
	}
	size, err := strconv.Atoi(q.Header.Get("x-log-bodyrawsize"))
	if err != nil || size < 0 {
		return nil, malformed("x-log-bodyrawsize is no size")
	}
	if size > int(q.in.c.MaxBody) {
		return nil, tooLarge(q.in.c.MaxBody)
	}
	if err := q.hold(int64(size)); err != nil {
		return nil, err
	}
	raw, err := loggroup.Decompress(nil, q.received, codec, size)
	if err != nil {
		return nil, malformed("%v", err)
	}
	s := q.scratch
	if err := s.group.Decode(raw); err != nil {
		return nil, malformed("%v", err)
	}
	g := &s.group
	for i := range g.Logs {
		l := &g.Logs[i]
		line := []byte(nil)
		for _, c := range l.Contents {
			s.field(c.Key, c.Value)
			if string(c.Key) == "content" {
				line = c.Value
			}
		}
		if line == nil {
			line = s.kept(func(dst []byte) []byte { return appendPairs(dst, l.Contents) })
		}
		if len(g.Topic) > 0 {
			s.field(topicName, g.Topic)
		}
		if len(g.Source) > 0 {
			s.field(sourceName, g.Source)
		}
		for _, tag := range g.Tags {
			s.field(s.kept(func(dst []byte) []byte { return append(append(dst, "__tag__:"...), tag.Key...) }), tag.Value)
		}
		q.add(line, int64(l.Time)*1e9+int64(l.TimeNS))
	}
	return nil, nil
}

var topicName, sourceName = []byte("__topic__"), []byte("__source__")

// appendPairs renders a log without a line as a JSON object.
func appendPairs(dst []byte, pairs []loggroup.Pair) []byte {
	dst = append(dst, '{')
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		key, _ := json.Marshal(string(p.Key)) // a text can always be
		value, _ := json.Marshal(string(p.Value))
		dst = append(append(append(dst, key...), ':'), value...)
	}
	return append(dst, '}')
}

func answerGroup(w http.ResponseWriter, _ *request, _ any) {
	w.Header().Set("x-log-requestid", requestID())
	w.WriteHeader(http.StatusOK)
}

// refuseGroup answers in the words of Log Service, by which its senders decide.
func refuseGroup(w http.ResponseWriter, _ *request, p *problem) {
	code := "InvalidParameter"
	switch p.status {
	case http.StatusUnauthorized:
		code = "Unauthorized"
	case http.StatusRequestEntityTooLarge:
		code = "PostBodyTooLarge"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.status, code = http.StatusServiceUnavailable, "ServerBusy"
	}
	w.Header().Set("x-log-requestid", requestID())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorCode": code, "errorMessage": p.text})
}

func requestID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(id[:]))
}
