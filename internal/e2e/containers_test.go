package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runtimeLog is the log of a container, written and rotated as its runtime does.
type runtimeLog struct {
	t     *testing.T
	path  string
	lines int
	// wrap is how the runtime writes a line: what is cut ends with more.
	wrap func(text string, more bool) string
	// rotate moves the file away.
	rotate func(n int)
	turns  int
}

// text is line i: every seventh is longer than what a runtime writes at once.
func (l *runtimeLog) text(i int) string {
	size := 1 + i%20
	if i%7 == 0 {
		size = 2500
	}
	return fmt.Sprintf("%08d %s", i, strings.TrimSpace(strings.Repeat("payload ", size)))
}

const cutAt = 16 << 10

func (l *runtimeLog) write(n int) {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(l.t, err)
	for range n {
		text := l.text(l.lines)
		for l.lines++; len(text) > cutAt; text = text[cutAt:] {
			_, err = f.WriteString(l.wrap(text[:cutAt], true))
			require.NoError(l.t, err)
		}
		_, err = f.WriteString(l.wrap(text, false))
		require.NoError(l.t, err)
	}
	require.NoError(l.t, f.Close())
}

// work writes some lines, and rotates.
func (l *runtimeLog) work() {
	l.write(200)
	l.turns++
	l.rotate(l.turns)
	l.write(100)
}

// requireOnce requires that each line of a log store is there once, with its fields.
func (l *runtimeLog) requireOnce(h *hub, logstore string, fields map[string]string) {
	l.t.Helper()
	h.eventually("all lines of "+logstore+" are there", func() bool { return h.distinct(l.t, logstore) >= l.lines })
	records := h.records(l.t, logstore)
	got := make([]string, 0, len(records))
	for _, r := range records {
		got = append(got, r["_msg"])
		for name, value := range fields {
			require.Equal(l.t, value, r[name], name)
		}
	}
	slices.Sort(got)
	want := make([]string, 0, l.lines)
	for i := range l.lines {
		want = append(want, l.text(i))
	}
	require.Len(l.t, got, len(want), "missing or double lines")
	for i := range want {
		if got[i] != want[i] {
			require.Equal(l.t, want[i][:8], got[i][:min(8, len(got[i]))], "the first line that is missing or double")
			require.Equal(l.t, len(want[i]), len(got[i]), "a line that was cut is not whole again")
		}
	}
}

// killInTheMiddle lets logs be written and rotated while the agent is killed, and is
// away for a while.
func killInTheMiddle(t *testing.T, a *agentProcess, work func()) {
	t.Helper()
	a.start(t)
	for range 4 {
		work()
		work()
		a.kill()
		work()
		a.start(t)
	}
	work()
}

func TestContainersOfDockerGetEverythingOnceThroughKills(t *testing.T) {
	t.Parallel()
	root, h := t.TempDir(), startHub(t)
	const id = "5f1e6c2b"
	data := filepath.Join(root, "var", "lib", "docker")
	dir, inside := filepath.Join(data, "containers", id), filepath.Join(data, "overlay2", "layer", "diff", "var", "log", "app")
	mounts := filepath.Join(data, "image", "overlay2", "layerdb", "mounts", id)
	for _, d := range []string{dir, inside, mounts} {
		require.NoError(t, os.MkdirAll(d, 0o750))
	}
	config := `{"ID":"` + id + `","Name":"/web","Driver":"overlay2","Config":{"Image":"shop/web:1","Labels":{"app":"web"}}}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(config), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(mounts, "mount-id"), []byte("layer"), 0o600))
	a := newAgent(t, h, `  output:
    input: {type: containers, host_root: `+root+`, start_at: beginning, labels: {app: web}}
    outputs: [hub]
    logstore: output
  inside:
    input: {type: containers, host_root: `+root+`, start_at: beginning, files_inside: [/var/log/app/*.log]}
    outputs: [hub]
    logstore: inside
`)
	shift := func(path string) func(int) {
		return func(n int) {
			for i := n; i > 1; i-- {
				require.NoError(t, os.Rename(fmt.Sprintf("%s.%d", path, i-1), fmt.Sprintf("%s.%d", path, i)))
			}
			require.NoError(t, os.Rename(path, path+".1"))
		}
	}
	log, file := filepath.Join(dir, id+"-json.log"), filepath.Join(inside, "a.log")
	output := &runtimeLog{t: t, path: log, rotate: shift(log), wrap: func(text string, more bool) string {
		if !more {
			text += "\n"
		}
		line, _ := json.Marshal(map[string]string{"log": text, "stream": "stdout", "time": time.Now().UTC().Format(time.RFC3339Nano)})
		return string(line) + "\n"
	}}
	program := &runtimeLog{t: t, path: file, rotate: shift(file), wrap: func(text string, more bool) string {
		if !more {
			text += "\n"
		}
		return text
	}}
	killInTheMiddle(t, a, func() { output.work(); program.work() })
	output.requireOnce(h, "output", map[string]string{"container.name": "web", "container.id": id, "log.iostream": "stdout"})
	program.requireOnce(h, "inside", map[string]string{"container.name": "web", "container.image.name": "shop/web:1"})
	a.stop()
}

func TestContainersOfPodsGetEverythingOnceThroughKills(t *testing.T) {
	t.Parallel()
	root, h := t.TempDir(), startHub(t)
	a := newAgent(t, h, `  output:
    input: {type: containers, host_root: `+root+`, docker: "", start_at: beginning, exclude_names: [proxy]}
    outputs: [hub]
    logstore: output
`)
	container := func(pod, name string) *runtimeLog {
		dir := filepath.Join(root, "var", "log", "pods", pod, name)
		require.NoError(t, os.MkdirAll(dir, 0o750))
		path := filepath.Join(dir, "0.log")
		return &runtimeLog{
			t: t, path: path,
			rotate: func(n int) { require.NoError(t, os.Rename(path, fmt.Sprintf("%s.20260312-%06d", path, n))) },
			wrap: func(text string, more bool) string {
				tag := "F"
				if more {
					tag = "P"
				}
				return time.Now().UTC().Format(time.RFC3339Nano) + " stdout " + tag + " " + text + "\n"
			},
		}
	}
	cart, proxy := container("shop_cart-7f9_0b1c", "app"), container("shop_cart-7f9_0b1c", "proxy")
	killInTheMiddle(t, a, func() { cart.work(); proxy.work() })
	cart.requireOnce(h, "output", map[string]string{"k8s.namespace.name": "shop", "k8s.pod.name": "cart-7f9", "k8s.container.name": "app"})
	a.stop()
}
