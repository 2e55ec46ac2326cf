package httpin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fastjson"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
)

// senderEnv makes the test binary a sender to the address that it holds.
const senderEnv = "WASMTAIL_TEST_SENDER"

// benchLines makes a request of 2,000 lines, 370 KB.
func benchLines() (lines []byte) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		lines = fmt.Appendf(lines, `{"@timestamp":"2026-03-12T08:15:%02d.%03dZ","level":"info","message":"order paid by customer %d in %d ms","service":"shop","took_ms":%.1f,"trace":"%016x%016x"}`+"\n",
			random.IntN(60), random.IntN(1000), random.IntN(10000), random.IntN(100), random.Float64()*100, random.Uint64(), random.Uint64())
	}
	return lines
}

func TestMain(m *testing.M) {
	if address := os.Getenv(senderEnv); address != "" {
		if err := send(address, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// send posts the lines args[0] times over one connection, one request after the other;
// with gzip as args[1] they are compressed once before.
func send(address string, args []string) error {
	times, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	body, head := benchLines(), ""
	if args[1] == "gzip" {
		body, head = gzipped(body), "Content-Encoding: gzip\r\n"
	}
	request := append(fmt.Appendf(nil, "POST /v1/jsonl HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", head, len(body)), body...)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	for range times {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s: %w", resp.Status, text, err)
		}
	}
	return conn.Close()
}

func gzipped(p []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(p)
	_ = z.Close()
	return b.Bytes()
}

// cpu is the processor time of this process so far, in user and system mode.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perCPU runs work b.N times in one call, which says how many bytes it went through,
// and reports these for each second of this process's processor time.
func perCPU(b *testing.B, work func() int) {
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	n := work()
	spent := cpu(b) - before
	b.StopTimer()
	b.SetBytes(int64(n / b.N))
	b.ReportMetric(float64(n)/1e6/spent.Seconds(), "MB/cpu-s")
}

// BenchmarkJSONLines says how many bytes of lines are taken in for each second of
// processor time, user and system, of the process:
//
//   - by the whole input: its listener and net/http, with a sender in another process, so
//     that nothing of the sender counts, and a pipeline that takes batches and drops them;
//   - the same, of a request that comes compressed: the bytes are those of its lines;
//   - by its handler alone, without a network;
//   - and, for comparison, by loops over the same bytes that make no records: lines cut
//     by IndexByte and checked by encoding/json, and parsed by fastjson.
func BenchmarkJSONLines(b *testing.B) {
	body := benchLines()
	for _, coding := range []string{"identity", "gzip"} {
		b.Run("input "+coding, func(b *testing.B) {
			address := runInput(b)
			perCPU(b, func() int {
				sender := exec.Command(os.Args[0], strconv.Itoa(b.N), coding)
				sender.Env = append(os.Environ(), senderEnv+"="+address)
				out, err := sender.CombinedOutput()
				require.NoError(b, err, "%s", out)
				return b.N * len(body)
			})
		})
	}
	b.Run("handler", func(b *testing.B) {
		handler := offline(b).handler()
		perCPU(b, func() int {
			for range b.N {
				req, _ := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
				w := &answerOf{header: http.Header{}}
				handler.ServeHTTP(w, req)
				if w.status > 200 {
					b.Fatal(w.status)
				}
			}
			return b.N * len(body)
		})
	})
	var parser fastjson.Parser
	for name, fine := range map[string]func(line []byte) bool{
		"loop json.Valid": json.Valid,
		"loop fastjson":   func(line []byte) bool { _, err := parser.ParseBytes(line); return err == nil },
	} {
		b.Run(name, func(b *testing.B) {
			perCPU(b, func() int {
				for range b.N {
					for rest := body; len(rest) > 0; {
						end := bytes.IndexByte(rest, '\n')
						if !fine(rest[:end]) {
							b.Fatal("a line is no JSON")
						}
						rest = rest[end+1:]
					}
				}
				return b.N * len(body)
			})
		})
	}
}

// runInput runs an input on the loopback interface until the benchmark ends.
func runInput(b *testing.B) (address string) {
	var c Config
	config.Defaults(&c)
	c.Listen = "127.0.0.1:0"
	in, err := New(c, Env{Pipeline: "p", BatchBytes: 512 << 10})
	require.NoError(b, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, takeAll) }()
	b.Cleanup(func() {
		cancel(errors.New("the benchmark is over"))
		require.ErrorContains(b, <-ended, "the benchmark is over")
	})
	require.Eventually(b, in.Ready, 10*time.Second, time.Millisecond)
	return in.Address()
}

// takeAll is a pipeline that drops what it takes.
func takeAll(_ context.Context, d pipeline.Delivery) error {
	d.Batch.Release()
	d.Done(nil)
	return nil
}
