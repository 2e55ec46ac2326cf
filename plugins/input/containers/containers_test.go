package containers

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/checkpoint"
	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/record"
)

// session is a running input and what it has emitted.
type session struct {
	mu      sync.Mutex
	closed  bool // nothing is taken
	opened  chan struct{}
	records []map[string]string
	cancel  context.CancelFunc
	ended   chan struct{}
	input   *Input
}

func (s *session) emit(ctx context.Context, d pipeline.Delivery) error {
	s.mu.Lock()
	opened, closed := s.opened, s.closed
	s.mu.Unlock()
	if closed {
		select {
		case <-opened:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s.mu.Lock()
	for i := range d.Batch.Records {
		fields := map[string]string{}
		for _, f := range d.Batch.Records[i].Fields {
			fields[string(f.Name)] = string(f.Value)
		}
		if marks := d.Batch.Records[i].Marks.AppendText(nil); len(marks) > 0 {
			fields["marks"] = string(marks)
		}
		s.records = append(s.records, fields)
	}
	s.mu.Unlock()
	d.Batch.Release()
	d.Done(nil)
	return nil
}

// texts are the lines so far, by container, sorted: the order of files that were
// rotated within one tick of their clock is not known.
func (s *session) texts() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[string][]string{}
	for _, r := range s.records {
		key := r["k8s.namespace.name"] + "/" + r["k8s.pod.name"] + "/" + r["k8s.container.name"]
		if r["k8s.namespace.name"] == "" {
			key = r["container.name"]
		}
		by[key] = append(by[key], r[record.Content])
	}
	for _, lines := range by {
		slices.Sort(lines)
	}
	return by
}

// all are the texts so far, sorted.
func (s *session) all() (texts []string) {
	for _, lines := range s.texts() {
		texts = append(texts, lines...)
	}
	slices.Sort(texts)
	return texts
}

// find is the record with that text.
func (s *session) find(text string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r[record.Content] == text {
			return r
		}
	}
	return nil
}

// close has nothing taken until open.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.opened = true, make(chan struct{})
}

func (s *session) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = false
	close(s.opened)
}

func (s *session) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// waitFor waits until there are n lines.
func (s *session) waitFor(t *testing.T, n int) {
	t.Helper()
	if assert.Eventually(t, func() bool { return s.count() == n }, 20*time.Second, 5*time.Millisecond) {
		return
	}
	for name, lines := range s.texts() {
		t.Logf("%s has %d lines, %d different ones", name, len(lines), len(slices.Compact(lines)))
	}
	for _, f := range s.input.Status() {
		t.Logf("%+v", f)
	}
	t.FailNow()
}

// waitForFile waits until a file with a path that ends so is found.
func (s *session) waitForFile(t *testing.T, end string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(s.input.Status(), func(f tail.FileStatus) bool { return strings.HasSuffix(f.Path, end) && f.Size > 0 })
	}, 20*time.Second, 5*time.Millisecond)
}

func (s *session) stop() {
	s.cancel()
	<-s.ended
}

func run(t *testing.T, store *checkpoint.Store, c Config, closed bool) *session {
	t.Helper()
	return runWith(t, Env{Checkpoints: store}, c, closed)
}

// runWith is run with more of what the agent lends.
func runWith(t *testing.T, env Env, c Config, closed bool) *session {
	t.Helper()
	c.Validate(func(key, problem string) { t.Errorf("%s %s", key, problem) })
	log := logrus.New()
	log.SetOutput(os.Stderr)
	env.Pipeline, env.Linger, env.Log = "p", 20*time.Millisecond, log
	in, err := New(c, env)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s := &session{cancel: cancel, ended: make(chan struct{}), input: in, closed: closed, opened: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = in.Run(ctx, s.emit)
	}()
	require.Eventually(t, in.Ready, 10*time.Second, time.Millisecond)
	return s
}

// kubelet writes the log of one container as a runtime does, and rotates it as the
// kubelet does: 0.log becomes 0.log.TIME, and older ones are compressed.
type kubelet struct {
	t       *testing.T
	dir     string
	lines   int
	rotated []string
}

func (k *kubelet) write(n int) {
	k.t.Helper()
	require.NoError(k.t, os.MkdirAll(k.dir, 0o755))
	f, err := os.OpenFile(filepath.Join(k.dir, "0.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(k.t, err)
	for range n {
		text := k.line(k.lines)
		if k.lines%5 == 0 { // the runtime has cut it
			_, err = fmt.Fprintf(f, "%sstdout P %s\n%sstdout F %s\n", at, text[:7], at, text[7:])
		} else {
			_, err = fmt.Fprintf(f, "%sstdout F %s\n", at, text)
		}
		require.NoError(k.t, err)
		k.lines++
	}
	require.NoError(k.t, f.Close())
}

func (k *kubelet) rotate() {
	k.t.Helper()
	to := filepath.Join(k.dir, fmt.Sprintf("0.log.20260312-%06d", len(k.rotated)))
	require.NoError(k.t, os.Rename(filepath.Join(k.dir, "0.log"), to))
	if n := len(k.rotated); n > 0 {
		old := k.rotated[n-1]
		in, err := os.Open(old)
		require.NoError(k.t, err)
		out, err := os.Create(old + ".gz")
		require.NoError(k.t, err)
		z := gzip.NewWriter(out)
		_, err = io.Copy(z, in)
		require.NoError(k.t, err)
		require.NoError(k.t, z.Close())
		require.NoError(k.t, out.Close())
		require.NoError(k.t, in.Close())
		require.NoError(k.t, os.Remove(old))
	}
	k.rotated = append(k.rotated, to)
}

// line is one that no other container writes: files that begin alike and have the
// inode of one that is gone are taken for it.
func (k *kubelet) line(i int) string {
	return fmt.Sprintf("line %06d of %s", i, filepath.Base(filepath.Dir(k.dir))+"/"+filepath.Base(k.dir))
}

func (k *kubelet) want() (lines []string) {
	for i := range k.lines {
		lines = append(lines, k.line(i))
	}
	return lines
}

func openStore(t *testing.T, dir string) *checkpoint.Store {
	t.Helper()
	store, err := checkpoint.Open(durable.OS{}, dir)
	require.NoError(t, err)
	return store
}

func TestRun_PodsComeRotateRestartAndGo(t *testing.T) {
	pods, state := t.TempDir(), t.TempDir()
	c := defaults(func(c *Config) {
		c.Pods, c.Docker, c.StartAt = pods, "", "beginning"
		c.ExcludeNamespaces, c.ExcludeNames = []string{"kube-*"}, []string{"proxy"}
	})
	pod := func(name, container string) *kubelet {
		return &kubelet{t: t, dir: filepath.Join(pods, name+"_0b1c", container)}
	}
	cart, proxy, dns := pod("shop_cart-7f9", "app"), pod("shop_cart-7f9", "proxy"), pod("kube-system_dns", "dns")
	cart.write(50)
	store := openStore(t, state)
	s := run(t, store, c, false)
	all := []*kubelet{cart, proxy, dns}
	for range 6 {
		for _, k := range all {
			k.write(30)
			k.rotate()
			k.write(20)
		}
	}
	s.waitFor(t, cart.lines)
	require.Equal(t, map[string][]string{"shop/cart-7f9/app": cart.want()}, s.texts())
	require.Equal(t, "0b1c", s.records[0]["k8s.pod.uid"])
	require.Equal(t, "0", s.records[0]["k8s.container.restart_count"])
	require.Equal(t, "stdout", s.records[0]["log.iostream"])
	s.stop()
	require.NoError(t, store.Close())
	before := cart.lines

	// While the agent is away the pod logs on, and is rotated; when it is back, but
	// nothing can be delivered, another pod comes and is removed.
	cart.write(10)
	cart.rotate()
	cart.write(10)
	store = openStore(t, state)
	s = run(t, store, c, true)
	job := pod("shop_job", "main")
	job.write(200)
	require.Eventually(t, func() bool {
		for _, f := range s.input.Status() {
			if strings.Contains(f.Path, "shop_job") && f.Size > 0 {
				return true
			}
		}
		return false
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, os.RemoveAll(filepath.Dir(job.dir)))
	close(s.opened)
	s.waitFor(t, cart.lines-before+job.lines)
	require.Equal(t, map[string][]string{"shop/cart-7f9/app": cart.want()[before:], "shop/job/main": job.want()}, s.texts())
	s.stop()
	require.NoError(t, store.Close())
}

// TestRun_ALineThatIsCutWhenItsFileIsRotated comes in two records, the first marked
// partial: the runtime wrote one piece before the rotation, and one after it.
func TestRun_ALineThatIsCutWhenItsFileIsRotated(t *testing.T) {
	pods := t.TempDir()
	k := &kubelet{t: t, dir: filepath.Join(pods, "shop_cart_0b1c", "app")}
	s := run(t, openStore(t, t.TempDir()), defaults(func(c *Config) { c.Pods, c.Docker, c.StartAt = pods, "", "beginning" }), false)
	defer s.stop()
	raw := func(text string) {
		require.NoError(t, os.MkdirAll(k.dir, 0o755))
		f, err := os.OpenFile(filepath.Join(k.dir, "0.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	raw(at + "stdout F one\n" + at + "stdout P two be")
	raw("gins\n") // the runtime is in the middle of a write
	k.rotate()
	raw(at + "stdout F and ends\n" + at + "stdout F three\n")
	s.waitFor(t, 4)
	require.Equal(t, []string{"and ends", "one", "three", "two begins"}, s.all())
	require.Equal(t, "partial", s.find("two begins")["marks"])
}

func TestRun_DockersLabelsAndEnvironmentSelect(t *testing.T) {
	docker := t.TempDir()
	make := func(id, name, project, stage string) {
		dir := filepath.Join(docker, id)
		require.NoError(t, os.Mkdir(dir, 0o755))
		text := fmt.Sprintf(`{"ID":%q,"Name":"/%s","Config":{"Image":"shop/%s:1","Env":["STAGE=%s","A=b=c"],"Labels":{"project":%q}}}`, id, name, name, stage, project)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(text), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, id+"-json.log"), []byte(dockerLine("from "+name+"\n", "stdout")), 0o600))
	}
	make("aa", "web", "shop", "production")
	make("bb", "db", "shop", "test")
	make("cc", "other", "else", "production")
	require.NoError(t, os.Mkdir(filepath.Join(docker, "dd"), 0o755)) // without a configuration
	require.NoError(t, os.WriteFile(filepath.Join(docker, "dd", "dd-json.log"), []byte(dockerLine("from nobody\n", "stdout")), 0o600))
	c := defaults(func(c *Config) {
		c.Pods, c.Docker, c.StartAt = "", docker, "beginning"
		c.Labels, c.Env, c.LabelFields = map[string]string{"project": "shop"}, map[string]string{"STAGE": "prod*"}, []string{"project"}
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	require.Eventually(t, func() bool {
		acked := 0
		for _, f := range s.input.Status() {
			if f.Size > 0 && f.Acked == f.Size {
				acked++
			}
		}
		return acked == 4
	}, 20*time.Second, 5*time.Millisecond)
	s.stop()
	require.Equal(t, map[string][]string{"web": {"from web"}}, s.texts())
	require.Equal(t, map[string]string{
		"content": "from web", "log.iostream": "stdout", "container.name": "web", "container.id": "aa",
		"container.image.name": "shop/web:1", "container.label.project": "shop",
	}, s.records[0])
}

func TestConfig_Faults(t *testing.T) {
	var got []string
	c := defaults(func(c *Config) {
		c.Pods, c.Docker, c.StartAt, c.MaxRecordSize = "var/log", "/var/*", "noon", 1
		c.Namespaces, c.Names = []string{"a/b"}, []string{""}
	})
	c.Validate(func(key, _ string) { got = append(got, key) })
	require.ElementsMatch(t, []string{"pods", "docker", "namespaces[0]", "names[0]", "start_at", "max_record_size"}, got)
	got = nil
	c = defaults(func(c *Config) { c.Pods, c.Docker = "", "" })
	c.Validate(func(key, _ string) { got = append(got, key) })
	require.Equal(t, []string{"pods"}, got)
}
