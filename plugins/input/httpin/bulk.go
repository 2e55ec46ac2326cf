package httpin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/valyala/fastjson"
)

// bulkItem is what becomes of one item of a bulk request.
type bulkItem struct {
	action, index string
	fault         string // "" if it is taken
}

// decodeBulk takes the documents of a bulk request. Items that cannot be taken are
// answered one by one, as senders of this protocol expect.
func decodeBulk(q *request) (any, error) {
	items := []bulkItem{}
	s := q.scratch
	for body := q.body; ; {
		var line []byte
		if line, body = nextLine(body); line == nil {
			break
		}
		v, err := s.json.ParseBytes(line)
		if err != nil {
			return nil, malformed("an action of the bulk request is no JSON: %.100s", err)
		}
		action, target, err := bulkAction(v)
		if err != nil {
			return nil, err
		}
		item := bulkItem{action: action, index: string(target.GetStringBytes("_index"))}
		if item.index == "" {
			item.index = q.PathValue("index")
		}
		if action == "delete" {
			item.fault = "documents cannot be deleted here"
			items = append(items, item)
			continue
		}
		if line, body = nextLine(body); line == nil {
			return nil, malformed("the bulk request ends after an action, without its document")
		}
		item.fault = q.bulkDocument(&item, line)
		items = append(items, item)
	}
	return items, nil
}

// nextLine takes the next line that is not empty; nil at the end.
func nextLine(body []byte) (line, rest []byte) {
	for len(body) > 0 {
		line, body, _ = bytes.Cut(body, []byte("\n"))
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, body
		}
	}
	return nil, nil
}

func bulkAction(v *fastjson.Value) (name string, target *fastjson.Value, err error) {
	for _, name := range []string{"create", "index", "update", "delete"} {
		if target := v.Get(name); target != nil {
			return name, target, nil
		}
	}
	return "", nil, malformed("an action of the bulk request is none of create, index, update and delete")
}

// bulkDocument takes a document, or says why it cannot be.
func (q *request) bulkDocument(item *bulkItem, line []byte) (fault string) {
	if item.action == "update" {
		return "documents cannot be updated here"
	}
	s := q.scratch
	if item.index != "" {
		s.field(indexName, []byte(item.index))
	}
	if q.jsonLine(line) {
		return ""
	}
	v, err := s.json.ParseBytes(line)
	switch {
	case err != nil:
		fault = "the document is no JSON"
	case v.Type() != fastjson.TypeObject:
		fault = "the document is no JSON object"
	default:
		q.jsonObject(line, v)
	}
	s.fields = s.fields[:0]
	return fault
}

var indexName = []byte("_index")

func answerBulk(w http.ResponseWriter, _ *request, result any) {
	items, _ := result.([]bulkItem)
	bad := false
	dst := []byte(`,"items":[`)
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = items[i].append(dst)
		bad = bad || items[i].fault != ""
	}
	head := `{"took":1,"errors":false`
	if bad {
		head = `{"took":1,"errors":true`
	}
	elastic(w)
	_, _ = w.Write(append(append([]byte(head), dst...), "]}\n"...))
}

func (it *bulkItem) append(dst []byte) []byte {
	index, _ := json.Marshal(it.index) // a text can always be
	dst = append(append(append(dst, `{"`+it.action+`":{"_index":`...), index...), `,"_id":""`...)
	if it.fault == "" {
		return append(dst, `,"result":"created","status":201}}`...)
	}
	fault, _ := json.Marshal(it.fault)
	return append(append(append(dst, `,"status":400,"error":{"type":"document_parsing_exception","reason":`...), fault...), `}}}`...)
}

// elastic says that the answer is one that Elasticsearch's clients may trust.
func elastic(w http.ResponseWriter) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
}

func refuseBulk(w http.ResponseWriter, _ *request, p *problem) {
	elastic(w)
	w.WriteHeader(p.status)
	text, _ := json.Marshal(p.text)
	_, _ = w.Write([]byte(`{"error":{"type":"wasmtail_exception","reason":` + string(text) + `},"status":` + strconv.Itoa(p.status) + "}\n"))
}

// pretend answers what clients of Elasticsearch ask before they send: who is there, and
// whether templates and policies may be set up, of which there are none here.
func (in *Input) pretend(mux *http.ServeMux) {
	for path, text := range map[string]string{
		"GET /{$}":      `{"name":"wasmtail","cluster_name":"wasmtail","cluster_uuid":"wasmtail","version":{"number":"8.17.0","build_flavor":"default","lucene_version":"9.12.0"},"tagline":"You Know, for Search"}`,
		"GET /_license": `{"license":{"status":"active","type":"basic","uid":"wasmtail","mode":"basic"}}`,
		"GET /_xpack":   `{"license":{"type":"basic","mode":"basic","status":"active"},"features":{}}`,
	} {
		mux.HandleFunc(path, in.know(text))
	}
	for _, path := range []string{"_index_template", "_component_template", "_template", "_ilm/policy", "_ingest/pipeline", "_data_stream"} {
		for _, method := range []string{"GET", "PUT"} { // GET is HEAD, too
			mux.HandleFunc(method+" /"+path+"/{name}", in.know(`{"acknowledged":true}`))
		}
	}
}

// know answers those who may deliver.
func (in *Input) know(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		elastic(w)
		if !in.authorized(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="wasmtail"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(text + "\n"))
	}
}
