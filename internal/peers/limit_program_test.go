//go:build linux

package peers

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/loggroup"
)

// The environment that makes the test binary the limit program.
const limitSinkVariable, limitCodecVariable = "PEERS_LIMIT_SINK", "PEERS_LIMIT_CODEC"

// TestMain lets the test binary be started again as the limit program.
func TestMain(m *testing.M) {
	if address := os.Getenv(limitSinkVariable); address != "" {
		if err := limitProgram(address, os.Getenv(limitCodecVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// limit is the least that the task can be done with: one goroutine that reads,
// finds line ends, frames, compresses, hashes and sends, with nothing done
// twice and no care for rotation, crashes, refusals or order.
func limit(codec string) contender {
	return contender{
		name: "limit " + codec, sink: limitSink,
		prepare: func(t *testing.T, s site) command {
			t.Helper()
			self, err := os.Executable()
			require.NoError(t, err)
			in, out, err := os.Pipe()
			require.NoError(t, err)
			t.Cleanup(func() {
				_ = in.Close()
				_ = out.Close()
			})
			return command{
				argv: []string{self}, stdin: in, trigger: out,
				env: []string{limitSinkVariable + "=" + s.sink, limitCodecVariable + "=" + codec},
			}
		},
	}
}

// limitBatchBytes is the agent's size of a batch.
const limitBatchBytes = 512 << 10

// limiter is the state of the limit program.
type limiter struct {
	conn       net.Conn
	answers    *bufio.Reader
	codec      loggroup.Codec
	compressor *loggroup.Compressor
	host       string

	group, packed, request []byte
}

// limitProgram sends the file whose path comes from standard input, then waits
// until standard input ends, so that its CPU time can be read.
func limitProgram(address, codecName string) error {
	codec, err := loggroup.ParseCodec(codecName)
	if err != nil {
		return err
	}
	stdin := bufio.NewReader(os.Stdin)
	path, err := stdin.ReadString('\n')
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	l := &limiter{conn: conn, answers: bufio.NewReader(conn), codec: codec, compressor: loggroup.NewCompressor(codec), host: address}
	if err := l.file(strings.TrimSuffix(path, "\n")); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func (l *limiter) file(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buf := make([]byte, limitBatchBytes)
	have := 0
	for {
		n, err := io.ReadFull(file, buf[have:])
		have += n
		end := bytes.LastIndexByte(buf[:have], '\n') + 1
		if end > 0 {
			if err := l.batch(buf[:end]); err != nil {
				return err
			}
		}
		have = copy(buf, buf[end:have])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (l *limiter) batch(lines []byte) error {
	now := uint64(time.Now().Unix())
	l.group = l.group[:0]
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		l.group = appendMinimalLog(l.group, now, lines[:end])
		lines = lines[end+1:]
	}
	l.packed = l.compressor.Append(l.packed[:0], l.group)
	return l.post()
}

// appendMinimalLog appends a Log with a time and one content to a LogGroup.
func appendMinimalLog(dst []byte, now uint64, line []byte) []byte {
	const key = "content"
	pair := 1 + 1 + len(key) + 1 + uvarintLen(len(line)) + len(line)
	whole := 1 + uvarintLen(int(now)) + 1 + uvarintLen(pair) + pair
	dst = binary.AppendUvarint(append(dst, 1<<3|2), uint64(whole))
	dst = binary.AppendUvarint(append(dst, 1<<3), now) // field 1, of wire type 0
	dst = binary.AppendUvarint(append(dst, 2<<3|2), uint64(pair))
	dst = append(append(dst, 1<<3|2, byte(len(key))), key...)
	dst = binary.AppendUvarint(append(dst, 2<<3|2), uint64(len(line)))
	return append(dst, line...)
}

func uvarintLen(n int) (size int) {
	for size = 1; n >= 0x80; size++ {
		n >>= 7
	}
	return size
}

// post sends the body on the one connection and reads the answer.
func (l *limiter) post() error {
	sum := sha256.Sum256(l.packed)
	b := append(l.request[:0], "POST /logstores/raw/shards/lb HTTP/1.1\r\nHost: "...)
	b = append(append(b, l.host...), "\r\nx-log-content-sha256: "...)
	b = hex.AppendEncode(b, sum[:])
	if l.codec != loggroup.None {
		b = append(append(b, "\r\nx-log-compresstype: "...), l.codec.String()...)
	}
	b = fmt.Appendf(b, "\r\nx-log-bodyrawsize: %d\r\nContent-Length: %d\r\n\r\n", len(l.group), len(l.packed))
	l.request = b
	buffers := net.Buffers{b, l.packed}
	if _, err := buffers.WriteTo(l.conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(l.answers, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
