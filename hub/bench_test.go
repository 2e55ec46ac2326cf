package hub

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/signature"
)

const nginxRows = 2500

// nginxGroup is a LogGroup of nginx access records with ten fields, of which
// the lines have lineBytes bytes in sum.
func nginxGroup(n int) (raw []byte, lineBytes int) {
	b := record.Get(&record.Origin{Generation: testGeneration, Path: "/var/log/nginx/access.log", Ledger: &record.Ledger{}})
	defer b.Release()
	paths := []string{"/", "/index.html", "/api/v1/orders", "/api/v1/users/1234", "/static/app.js", "/favicon.ico"}
	agents := []string{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36", "curl/8.5.0", "kube-probe/1.31"}
	now := time.Now()
	for i := range nginxRows {
		k := n*nginxRows + i
		ip := fmt.Sprintf("10.%d.%d.%d", k%3, k%200, k%251)
		status := []string{"200", "200", "200", "304", "404", "500"}[k%6]
		size, took := strconv.Itoa(k*7919%30000), fmt.Sprintf("0.%03d", k%997)
		path, agent := paths[k%len(paths)], agents[k%len(agents)]
		line := fmt.Sprintf(`%s - - [%s] "GET %s HTTP/1.1" %s %s "-" %q %s`, ip, now.Format("02/Jan/2006:15:04:05 -0700"), path, status, size, agent, took)
		r := b.Add([]byte(line))
		r.Offset, r.Size, r.Time = int64(i), 1, now.UnixNano()
		r.Fields = b.AllocFields(10)
		for _, f := range [...][2]string{
			{"remote_addr", ip},
			{"remote_user", "-"},
			{"method", "GET"},
			{"path", path},
			{"protocol", "HTTP/1.1"},
			{"status", status},
			{"bytes", size},
			{"referer", "-"},
			{"user_agent", agent},
			{"request_time", took},
		} {
			r.Fields = append(r.Fields, record.Field{Name: []byte(f[0]), Value: []byte(f[1])})
		}
		lineBytes += len(line) + 1
	}
	return loggroup.Append(nil, b, &loggroup.Header{Tags: []loggroup.Tag{{Key: loggroup.TagHostname, Value: "host1"}, {Key: loggroup.TagPath, Value: "/var/log/nginx/access.log"}}}), lineBytes
}

// BenchmarkHub_Ingest sends batches of nginx records over HTTP from four
// senders, and waits until all of them are in the store. Bytes are those of the
// lines.
func BenchmarkHub_Ingest(b *testing.B) {
	c := startBench(b)
	const groups = 16
	bodies, raws := make([][]byte, groups), make([]int, groups)
	var lineBytes int
	for i := range groups {
		raw, n := nginxGroup(i)
		bodies[i], raws[i], lineBytes = loggroup.NewCompressor(loggroup.Snappy).Append(nil, raw), len(raw), n
	}
	b.SetBytes(int64(lineBytes))
	before := c.stored(b)
	b.ResetTimer()
	var next atomic.Int64
	var senders sync.WaitGroup
	var nonce atomic.Int64
	for range 4 {
		senders.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				g := i % groups
				r := c.signed(b, bodies[g], raws[g], strconv.FormatInt(nonce.Add(1), 10))
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	senders.Wait()
	taken := b.Elapsed()
	for c.stored(b) < before+int64(b.N*nginxRows) {
		<-time.After(5 * time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*nginxRows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(b.N*lineBytes)/1e6/taken.Seconds(), "taken-MB/s")
}

// BenchmarkHub_PutToSearchable measures from a put to the query that finds it.
func BenchmarkHub_PutToSearchable(b *testing.B) {
	c := startBench(b)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		raw := payload(i*10, i*10+10)
		began := time.Now()
		r := c.signed(b, loggroup.NewCompressor(loggroup.Snappy).Append(nil, raw), len(raw), strconv.Itoa(i))
		resp, err := http.DefaultClient.Do(r)
		require.NoError(b, err)
		require.NoError(b, resp.Body.Close())
		require.Equal(b, http.StatusOK, resp.StatusCode)
		for !c.finds(b, i*10*lineBytes) {
			<-time.After(2 * time.Millisecond)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// benchClient is a hub under a benchmark.
type benchClient struct{ p *parts }

// startBench runs a hub until the benchmark ends.
func startBench(b *testing.B) *benchClient {
	b.Helper()
	log := logrus.New()
	log.SetLevel(logrus.ErrorLevel)
	o := Options{DataDir: b.TempDir(), Listen: "127.0.0.1:0", KeyID: credentials.KeyID, KeySecret: credentials.Secret, Log: log}
	o.defaults()
	ctx, cancel := context.WithCancel(context.Background())
	p, err := open(ctx, o)
	require.NoError(b, err)
	l, err := p.listen(ctx)
	require.NoError(b, err)
	s := p.server()
	var running sync.WaitGroup
	running.Go(func() { _ = p.stream.Run(ctx) })
	running.Go(func() { _ = s.Serve(l) })
	b.Cleanup(func() {
		cancel()
		_ = s.Close()
		running.Wait()
		p.close()
	})
	return &benchClient{p}
}

func (c *benchClient) signed(b *testing.B, body []byte, rawSize int, nonce string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, c.p.base+"/logstores/web/shards/lb", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("x-log-project", "proj")
	r.Header.Set("x-log-bodyrawsize", strconv.Itoa(rawSize))
	r.Header.Set("x-log-compresstype", "snappy")
	r.Header.Set("x-log-nonce", nonce)
	if err := signature.Sign(r, body, credentials, signature.Options{Version: signature.V4, Region: "local", Now: time.Now()}); err != nil {
		b.Fatal(err)
	}
	return r
}

func (c *benchClient) stored(b *testing.B) int64 {
	return int64(c.p.stream.Stats(b.Context()).Rows)
}

// finds reports whether a query finds the record at an offset.
func (c *benchClient) finds(b *testing.B, offset int) (found bool) {
	b.Helper()
	now := time.Now()
	err := c.p.engine.Run(b.Context(), store.Query{
		Project: "proj", LogsQL: fmt.Sprintf("__wt_offset__:=%d", offset),
		Start: now.Add(-time.Minute).UnixNano(), End: now.Add(time.Minute).UnixNano(),
	}, func([]store.Field) error {
		found = true
		return nil
	})
	require.NoError(b, err)
	return found
}
