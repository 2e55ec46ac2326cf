package syslog

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"
)

// senderEnv makes the test binary a sender of datagrams to the address that it holds.
const senderEnv = "WASMTAIL_TEST_SENDER"

func TestMain(m *testing.M) {
	if address := os.Getenv(senderEnv); address != "" {
		if err := sendDatagrams(address, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// sendDatagrams sends so many messages at a rate, whatever becomes of them, in groups of
// 64 with one system call, so that one processor is enough for both sides.
func sendDatagrams(address, count, rate string) error {
	messages, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	perSecond, err := strconv.Atoi(rate)
	if err != nil {
		return err
	}
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	group := make([]ipv4.Message, 64)
	for i := range group {
		group[i].Buffers = [][]byte{[]byte(`<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su 77 ID47 - 'su root' failed for lonvick on /dev/pts/8`)}
	}
	pc := ipv4.NewPacketConn(conn.(*net.UDPConn))
	began := time.Now()
	for sent := 0; sent < messages; {
		due := began.Add(time.Duration(sent) * time.Second / time.Duration(perSecond))
		if early := time.Until(due); early > time.Millisecond {
			<-time.After(early)
		}
		n, err := pc.WriteBatch(group[:min(len(group), messages-sent)], 0)
		if err != nil {
			return err
		}
		sent += n
	}
	return conn.Close()
}

// cpu is the processor time of this process so far, in user and system mode.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDatagrams says how many messages are taken in for each second of processor
// time, user and system, of the process that receives; another one sends them, at a
// rate and without waiting for anything, for a second or more. Lost are those for which
// the receive buffer had no room, of a thousand.
func BenchmarkDatagrams(b *testing.B) {
	for _, rate := range []int{100_000, 200_000, 400_000} {
		b.Run(strconv.Itoa(rate), func(b *testing.B) {
			r := start(b, Config{Listen: []string{"udp://127.0.0.1:0"}}, &sink{})
			messages := max(b.N, rate)
			b.ResetTimer()
			before, began := cpu(b), time.Now()
			sender := exec.Command(os.Args[0], strconv.Itoa(messages), strconv.Itoa(rate))
			sender.Env = append(os.Environ(), senderEnv+"="+r.address(0))
			out, err := sender.CombinedOutput()
			require.NoError(b, err, "%s", out)
			for last := int64(-1); last != r.sink.counted.Load(); { // until no more come
				last = r.sink.counted.Load()
				<-time.After(3 * r.in.env.Linger)
			}
			took := time.Since(began)
			spent := cpu(b) - before
			got := r.sink.counted.Load()
			b.ReportMetric(float64(got)/spent.Seconds(), "messages/cpu-s")
			b.ReportMetric(float64(got)/took.Seconds(), "messages/s")
			b.ReportMetric(1000*(1-float64(got)/float64(messages)), "lost/1000")
			b.ReportMetric(0, "ns/op")
			r.stop()
		})
	}
}
