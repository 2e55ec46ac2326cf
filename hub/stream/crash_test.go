package stream

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steps are all of them.
var steps = []string{stepPublish, stepMark, stepWrite, stepFlush, stepSeal, stepSettle, stepLedger, stepApplied, stepPurge, stepDone}

const (
	crashEnv   = "WASMTAIL_STREAM_CRASH" // "DIR STEP N" makes this process the one that crashes
	crashLines = 3000
	crashBatch = 3
	ackedFile  = "acked"
)

// TestCrash_AtEveryStep ends the process before each step towards the disk, the
// first time, and those that come often a later time as well. The sender sends again what it has no answer for, cut
// anew: every line is stored once, and the ledger has no gap.
func TestCrash_AtEveryStep(t *testing.T) {
	if what := os.Getenv(crashEnv); what != "" {
		crash(t, what)
		return
	}
	for _, step := range steps {
		for _, n := range []int{1, 3} {
			if n > 1 && step != stepPublish && step != stepWrite && step != stepFlush {
				continue // the others are taken once a second, and the mark once in thousands of messages
			}
			t.Run(fmt.Sprintf("%s %d", step, n), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				cmd := exec.Command(os.Args[0], "-test.run", "^TestCrash_AtEveryStep$")
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", crashEnv, dir, step, n))
				out, err := cmd.CombinedOutput()
				var ended *exec.ExitError
				require.ErrorAs(t, err, &ended, "the step was not reached: %s", out)
				require.Equal(t, syscall.SIGKILL, ended.Sys().(syscall.WaitStatus).Signal(), "%s", out)

				acked := ackedLines(t, dir)
				r := openRig(t, dir, nil)
				total := acked + 50
				for from := max(0, acked-5); from < total; from += 7 {
					r.publish(batch(t, from, min(total, from+7)))
				}
				r.waitFor(total)
				r.once(total)
				require.Eventually(t, func() bool {
					e := r.entry()
					return len(e.Ranges) == 1 && e.Ranges[0] == Range{0, int64(total * lineBytes)}
				}, 20*time.Second, 10*time.Millisecond)
			})
		}
	}
}

// crash publishes batches until the process ends itself.
func crash(t *testing.T, what string) {
	var dir, step string
	var n int
	_, err := fmt.Sscan(what, &dir, &step, &n)
	require.NoError(t, err)
	r := openRig(t, dir, func(o *Options) {
		o.step = func(name string) {
			if name != step {
				return
			}
			if n--; n == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // nothing more is done
			}
		}
	})
	acks, err := os.Create(filepath.Join(dir, ackedFile))
	require.NoError(t, err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for from := 0; from < crashLines; from += crashBatch {
		r.publish(batch(t, from, from+crashBatch))
		_, err := fmt.Fprintln(acks, from+crashBatch)
		require.NoError(t, err)
		<-tick.C
	}
}

// ackedLines is how many lines the process that crashed had an answer for.
func ackedLines(t *testing.T, dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, ackedFile))
	require.NoError(t, err)
	fields := strings.Fields(string(text))
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.Atoi(fields[len(fields)-1])
	require.NoError(t, err)
	return n
}
