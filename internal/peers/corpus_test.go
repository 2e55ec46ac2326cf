//go:build linux

package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// workload is one kind of file and what is to be made of it.
type workload struct {
	name string
	// fields is how many fields a record must arrive with; 0 when lines are
	// delivered as they are.
	fields int
	// appendRecord appends record i with its line end.
	appendRecord func(dst []byte, i int, r *rand.Rand) []byte
}

var (
	raw       = workload{name: "raw", appendRecord: appendRaw}
	nginx     = workload{name: "nginx", fields: 10, appendRecord: appendNginx}
	multiline = workload{name: "multiline", appendRecord: appendJava}
	jsonLines = workload{name: "json", fields: 13, appendRecord: appendJSON}
)

const (
	nginxPattern = `^(?P<remote_addr>\S+) - (?P<remote_user>\S+) \[(?P<time_local>[^\]]+)\] ` +
		`"(?P<method>\S+) (?P<uri>\S+) (?P<protocol>[^"]+)" (?P<status>\d{3}) (?P<body_bytes_sent>\d+) ` +
		`"(?P<http_referer>[^"]*)" "(?P<http_user_agent>[^"]*)"$`
	javaStart = `^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{3} `
)

// corpus is a generated file.
type corpus struct {
	workload workload
	path     string
	records  int64
	bytes    int64 // with line ends
}

// newRand gives the same numbers every time.
func newRand() *rand.Rand { return rand.New(rand.NewPCG(20260102, 30405)) }

// newCorpus writes a file of at least that many bytes. The same arguments make
// the same bytes.
func newCorpus(t *testing.T, dir string, w workload, bytesMin int64) corpus {
	t.Helper()
	c := corpus{workload: w, path: filepath.Join(dir, w.name+".log")}
	file, err := os.Create(c.path)
	require.NoError(t, err)
	out := bufio.NewWriterSize(file, 1<<20)
	r := newRand()
	var line []byte
	for c.bytes < bytesMin {
		line = w.appendRecord(line[:0], int(c.records), r)
		_, err := out.Write(line)
		require.NoError(t, err)
		c.records++
		c.bytes += int64(len(line))
	}
	require.NoError(t, out.Flush())
	require.NoError(t, file.Close())
	return c
}

// corpusBytes is the size of the files.
func corpusBytes(t *testing.T) int64 { return int64(envInt(t, "PEERS_MB", 256)) << 20 }

func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	require.Positive(t, n, name)
	return n
}

var (
	words = bytes.Fields([]byte(`the order was accepted by payment gateway after retry cache miss for
		customer profile lookup took longer than expected falling back to replica inventory reserved until
		checkout completes session refreshed token rotated request queued worker picked up job finished with
		warnings partial result returned upstream connection reset closing idle pool member draining node
		scheduled compaction flush segment index rebuilt snapshot uploaded bucket policy applied rate limit
		exceeded client notified webhook delivered signature verified feature flag evaluated experiment
		bucket assigned shipping label created tracking number issued refund initiated ledger entry posted`))
	classes = []string{
		"com.example.orders.CheckoutService", "com.example.orders.api.OrderController", "com.example.payment.GatewayClient",
		"com.example.inventory.ReservationManager", "org.springframework.web.servlet.DispatcherServlet",
		"com.zaxxer.hikari.pool.HikariPool", "com.example.auth.TokenFilter", "org.hibernate.SQL",
	}
	levels = []string{"INFO", "INFO", "INFO", "INFO", "INFO", "INFO", "DEBUG", "DEBUG", "WARN", "ERROR"}
	paths  = []string{
		"/", "/api/v2/orders", "/api/v2/orders/items", "/api/v2/users/profile", "/static/js/app.4f3a91.js",
		"/static/css/site.css", "/healthz", "/login", "/search", "/api/v1/inventory/availability", "/images/logo.svg",
	}
	browsers = []string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "curl/8.5.0",
	}
)

// pick takes the first entries more often than the last ones, as paths and
// clients do in the field.
func pick[T any](r *rand.Rand, from []T) T { return from[min(r.IntN(len(from)), r.IntN(len(from)))] }

// timeOf is the time of record i: a few hundred a second.
func timeOf(i int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(i) * 3137 * time.Microsecond)
}

// phrases are what programs say: a log repeats its few messages, with other
// numbers in them. That is why logs compress well.
var phrases = func() (made [][]byte) {
	r := newRand()
	for range 60 {
		made = append(made, appendWords(nil, r, 5+r.IntN(9)))
	}
	return made
}()

func appendWords(dst []byte, r *rand.Rand, n int) []byte {
	for i := range n {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, words[r.IntN(len(words))]...)
	}
	return dst
}

// rawLineBytes is the length of every raw line, with its line end.
const rawLineBytes = 512

func appendRaw(dst []byte, i int, r *rand.Rand) []byte {
	start := len(dst)
	dst = timeOf(i).AppendFormat(dst, "2006-01-02T15:04:05.000Z ")
	dst = fmt.Appendf(dst, "%-5s [http-nio-8080-exec-%d] %s order=%d user=u-%d trace=%016x%016x took=%dms status=%s ",
		levels[r.IntN(len(levels))], r.IntN(32), pick(r, classes), 1_800_000+i, r.IntN(90_000), r.Uint64(), r.Uint64(),
		r.IntN(900), []string{"ok", "retry", "failed"}[min(r.IntN(3), r.IntN(3))])
	for len(dst)-start < rawLineBytes {
		dst = fmt.Appendf(dst, "%s item=%d; ", pick(r, phrases), r.IntN(100_000))
	}
	return append(dst[:start+rawLineBytes-1], '\n')
}

func appendNginx(dst []byte, i int, r *rand.Rand) []byte {
	dst = fmt.Appendf(dst, "%d.%d.%d.%d - ", 10+r.IntN(80), r.IntN(256), r.IntN(256), r.IntN(256))
	if r.IntN(20) == 0 {
		dst = fmt.Appendf(dst, "user%d", r.IntN(500))
	} else {
		dst = append(dst, '-')
	}
	dst = timeOf(i).AppendFormat(dst, " [02/Jan/2006:15:04:05 -0700] ")
	dst = fmt.Appendf(dst, `"%s %s?id=%d&page=%d HTTP/1.1" %d %d "https://shop.example.com%s?ref=%d" "%s"`,
		[]string{"GET", "GET", "GET", "GET", "POST", "HEAD"}[r.IntN(6)], pick(r, paths), r.IntN(1_000_000), r.IntN(40),
		[]int{200, 200, 200, 200, 304, 404, 301, 500}[r.IntN(8)], r.IntN(90_000), pick(r, paths), r.IntN(10_000), pick(r, browsers))
	return append(dst, '\n')
}

// frames are lines of stack traces.
var frames = func() (made []string) {
	r := newRand()
	for range 200 {
		class := classes[r.IntN(len(classes))]
		made = append(made, fmt.Sprintf("\tat %s.%s%d(%s.java:%d)\n", class,
			[]string{"invoke", "doFilter", "handle", "lambda$process$"}[r.IntN(4)], r.IntN(9),
			class[strings.LastIndexByte(class, '.')+1:], 20+r.IntN(600)))
	}
	return made
}()

// appendJava writes a log4j line, and after about every third of them a stack
// trace.
func appendJava(dst []byte, i int, r *rand.Rand) []byte {
	level := levels[r.IntN(len(levels))]
	dst = timeOf(i).AppendFormat(dst, "2006-01-02 15:04:05,000 ")
	dst = fmt.Appendf(dst, "%-5s [http-nio-8080-exec-%d] %s - ", level, r.IntN(32), pick(r, classes))
	dst = fmt.Appendf(dst, "%s for order %d in %d ms\n", pick(r, phrases), 1_800_000+i, r.IntN(900))
	if r.IntN(3) != 0 {
		return dst
	}
	dst = fmt.Appendf(dst, "java.lang.IllegalStateException: order %d: ", 1_800_000+i)
	dst = append(append(dst, pick(r, phrases)...), '\n')
	for cause := range 1 + r.IntN(3) {
		if cause > 0 {
			dst = fmt.Appendf(dst, "Caused by: java.io.IOException: %s\n", pick(r, phrases))
		}
		for range 5 + r.IntN(20) {
			dst = append(dst, pick(r, frames)...)
		}
		dst = fmt.Appendf(dst, "\t... %d more\n", 3+r.IntN(30))
	}
	return dst
}

func appendJSON(dst []byte, i int, r *rand.Rand) []byte {
	dst = append(dst, `{"time":"`...)
	dst = timeOf(i).AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = fmt.Appendf(dst, `","level":"%s","logger":"%s","trace_id":"%016x%016x","method":"%s","path":"%s","status":%d,`+
		`"duration_ms":%d.%03d,"bytes":%d,"client":"10.%d.%d.%d","cached":%t,"user":"u-%d","message":"`,
		levels[r.IntN(len(levels))], pick(r, classes), r.Uint64(), r.Uint64(), []string{"GET", "GET", "POST"}[r.IntN(3)], pick(r, paths),
		[]int{200, 200, 200, 201, 304, 404, 500}[r.IntN(7)], r.IntN(900), r.IntN(1000), r.IntN(90_000),
		r.IntN(4), r.IntN(256), r.IntN(256), r.IntN(2) == 0, r.IntN(90_000))
	dst = fmt.Appendf(dst, "%s %d", pick(r, phrases), r.IntN(100_000))
	if r.IntN(10) == 0 {
		dst = append(dst, ` said \"not now\"`...)
	}
	return append(dst, '"', '}', '\n')
}

// TestCorpora: the files are what the workloads say, and the same every time.
func TestCorpora(t *testing.T) {
	const size = 1 << 20
	dir, again := t.TempDir(), t.TempDir()
	java, pattern := regexp.MustCompile(javaStart), regexp.MustCompile(nginxPattern)
	check := map[string]func(record []byte){
		"raw":       func(p []byte) { require.Len(t, p, rawLineBytes-1) },
		"multiline": func(p []byte) { require.Len(t, java.FindAll(p, -1), 1) },
		"nginx":     func(p []byte) { require.Len(t, pattern.FindSubmatch(p), 1+nginx.fields) },
		"json": func(p []byte) {
			v, err := fastjson.ParseBytes(p)
			require.NoError(t, err)
			require.Equal(t, jsonLines.fields, v.GetObject().Len())
		},
	}
	means := map[string]int64{"raw": 512, "nginx": 250, "json": 366}
	for _, w := range []workload{raw, nginx, multiline, jsonLines} {
		c := newCorpus(t, dir, w, size)
		data, err := os.ReadFile(c.path)
		require.NoError(t, err)
		same, err := os.ReadFile(newCorpus(t, again, w, size).path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, same), w.name)
		require.EqualValues(t, c.bytes, len(data))

		r := newRand()
		for i := range int(c.records) {
			check[w.name](bytes.TrimSuffix(w.appendRecord(nil, i, r), []byte("\n")))
		}
		packed := loggroup.NewCompressor(loggroup.Snappy).Append(nil, data[:limitBatchBytes])
		t.Logf("%s: %d bytes a record, snappy makes half a megabyte %.1f times smaller",
			w.name, c.bytes/c.records, float64(limitBatchBytes)/float64(len(packed)))
		if mean := means[w.name]; mean > 0 {
			require.InDelta(t, mean, c.bytes/c.records, 15, w.name)
		}
	}
}
