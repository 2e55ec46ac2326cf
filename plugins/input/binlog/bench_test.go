package binlog

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/internal/config"
)

// BenchmarkBinlog reads rows that lie in a binlog, and lets mariadb-binlog read the
// same from the same server: it prints the events as statements.
func BenchmarkBinlog(b *testing.B) {
	const rows = 200_000
	m := server(b)
	m.Exec("CREATE TABLE d.orders (id BIGINT UNSIGNED PRIMARY KEY, customer INT, state ENUM('new','paid','sent'), total DECIMAL(10,2), note VARCHAR(100), made DATETIME(3), tags SET('a','b','c'))")
	from := m.Text("SELECT @@global.gtid_binlog_pos")
	m.Insert("d.orders", 0, rows, func(i int) string {
		return fmt.Sprintf("%d,%d,'paid',%d.%02d,'order number %d of a customer','2026-01-02 03:04:05.%03d','a,c'", i, i%977, i%5000, i%100, i, i%1000)
	})
	b.Run("Input", func(b *testing.B) {
		for b.Loop() {
			c := settings(m, "d.orders")
			c.StartAt = from
			config.Defaults(&c)
			config.Defaults(&c.Account)
			checkpoints, _ := store(b)
			log := logrus.New()
			log.SetOutput(io.Discard)
			in, err := New(c, Env{Pipeline: "p", Checkpoints: checkpoints, BatchBytes: 512 << 10, Linger: 20 * time.Millisecond, Log: log})
			require.NoError(b, err)
			var read atomic.Int64
			ctx, cancel := context.WithCancel(b.Context())
			used := processorTime()
			began := time.Now()
			_ = in.Run(ctx, func(_ context.Context, d pipeline.Delivery) error {
				if read.Add(int64(len(d.Batch.Records))) >= rows {
					cancel()
				}
				d.Batch.Release()
				d.Done(nil)
				return nil
			})
			require.EqualValues(b, rows, read.Load())
			b.ReportMetric(rows/time.Since(began).Seconds(), "rows/s")
			b.ReportMetric(rows/(processorTime()-used).Seconds(), "rows/cpu-s")
		}
	})
	b.Run("mariadb-binlog", func(b *testing.B) {
		host, port, err := net.SplitHostPort(m.Addr)
		require.NoError(b, err)
		for b.Loop() {
			began := time.Now()
			cmd := exec.CommandContext(b.Context(), "mariadb-binlog", "--no-defaults", "--read-from-remote-server", "--to-last-log", "-v", "-h", host, "-P", port, "-u", "root", files(b, m.Open(""))[0])
			cmd.Stdout = io.Discard
			require.NoError(b, cmd.Run())
			usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			b.ReportMetric(rows/time.Since(began).Seconds(), "rows/s")
			b.ReportMetric(rows/time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Seconds(), "rows/cpu-s")
		}
	})
}

// processorTime is what this process has used of processors.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
