package containers

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/tail"
)

const testNode = "node-1"

// apiServer answers as the API server of Kubernetes does for the pods of a node: by
// pages, and with watches from a version on, over TLS, for one token.
type apiServer struct {
	t       *testing.T
	dir     string // has the token and the authority
	server  *httptest.Server
	address string

	mu      sync.Mutex
	token   string
	version int
	oldest  int // version from which on changes are known
	pods    map[string]string
	changes []change
	fresh   chan struct{} // closed at the next change
	lists   int
	watches int
}

type change struct {
	version int
	text    string
}

func newAPIServer(t *testing.T) *apiServer {
	a := &apiServer{t: t, dir: t.TempDir(), version: 10, pods: map[string]string{}, fresh: make(chan struct{}), address: "127.0.0.1:0"}
	a.renew("first")
	return a
}

// renew replaces the token, as Kubernetes does while a pod runs.
func (a *apiServer) renew(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = token
	require.NoError(a.t, os.WriteFile(filepath.Join(a.dir, "token"), []byte(token+"\n"), 0o600))
}

// start makes the server reachable, at the same address each time.
func (a *apiServer) start() {
	a.t.Helper()
	l, err := net.Listen("tcp", a.address)
	require.NoError(a.t, err)
	a.address = l.Addr().String()
	a.server = httptest.NewUnstartedServer(a)
	_ = a.server.Listener.Close()
	a.server.Listener = l
	a.server.StartTLS()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	require.NoError(a.t, os.WriteFile(filepath.Join(a.dir, "ca.crt"), ca, 0o600))
	a.t.Cleanup(a.stop)
}

func (a *apiServer) stop() {
	if a.server != nil {
		a.server.CloseClientConnections()
		a.server.Close()
		a.server = nil
	}
}

func (a *apiServer) settings(edit func(*Kubernetes)) Kubernetes {
	k := Kubernetes{
		API: true, URL: "https://" + a.address, TokenFile: filepath.Join(a.dir, "token"), CAFile: filepath.Join(a.dir, "ca.crt"),
		Node: testNode, Wait: 10 * time.Second,
	}
	if edit != nil {
		edit(&k)
	}
	return k
}

// put adds a pod, or changes it.
func (a *apiServer) put(uid, name string, labels, annotations map[string]string) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	kind := "ADDED"
	if a.pods[uid] != "" {
		kind = "MODIFIED"
	}
	object := map[string]any{
		"metadata": map[string]any{
			"name": name, "namespace": "shop", "uid": uid, "labels": labels, "annotations": annotations, "resourceVersion": strconv.Itoa(a.version),
		},
		"spec":   map[string]any{"nodeName": testNode, "containers": []map[string]any{{"name": "app", "image": "shop/app:2"}}},
		"status": map[string]any{"phase": "Running"},
	}
	text, err := json.Marshal(object)
	require.NoError(a.t, err)
	a.pods[uid] = string(text)
	a.changeLocked(kind, string(text))
}

func (a *apiServer) delete(uid string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	text := a.pods[uid]
	delete(a.pods, uid)
	a.changeLocked("DELETED", text)
}

func (a *apiServer) changeLocked(kind, object string) {
	a.changes = append(a.changes, change{a.version, fmt.Sprintf(`{"type":%q,"object":%s}`, kind, object)})
	close(a.fresh)
	a.fresh = make(chan struct{})
}

// forget has the server forget all changes so far: watches from before have expired.
func (a *apiServer) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.oldest, a.changes = a.version, nil
	close(a.fresh)
	a.fresh = make(chan struct{})
}

func (a *apiServer) counts() (lists, watches int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lists, a.watches
}

const expired = `{"kind":"Status","status":"Failure","message":"too old resource version","reason":"Expired","code":410}`

// ServeHTTP implements http.Handler.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	authorised := r.Header.Get("Authorization") == "Bearer "+a.token
	a.mu.Unlock()
	query := r.URL.Query()
	switch {
	case !authorised:
		http.Error(w, `{"kind":"Status","status":"Failure","message":"Unauthorized","code":401}`, http.StatusUnauthorized)
	case r.URL.Path != "/api/v1/pods" || r.Method != http.MethodGet || query.Get("fieldSelector") != "spec.nodeName="+testNode:
		http.Error(w, `{"kind":"Status","status":"Failure","message":"forbidden","code":403}`, http.StatusForbidden)
	case query.Get("watch") != "":
		a.watch(w, r)
	default:
		a.list(w, query.Get("continue"))
	}
}

// list gives pages of two pods.
func (a *apiServer) list(w http.ResponseWriter, from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	uids := make([]string, 0, len(a.pods))
	for uid := range a.pods {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	at, _ := strconv.Atoi(from)
	next := ""
	if at+2 < len(uids) {
		next = strconv.Itoa(at + 2)
	}
	var items []string
	for _, uid := range uids[min(at, len(uids)):min(at+2, len(uids))] {
		items = append(items, a.pods[uid])
	}
	_, _ = fmt.Fprintf(w, `{"kind":"PodList","metadata":{"resourceVersion":"%d","continue":%q},"items":[%s]}`, a.version, next, strings.Join(items, ","))
}

func (a *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		http.Error(w, "no version", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.watches++
	if from < a.oldest {
		a.mu.Unlock()
		http.Error(w, expired, http.StatusGone)
		return
	}
	a.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_, _ = fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}`+"\n", from)
	for {
		a.mu.Lock()
		if from < a.oldest {
			_, _ = fmt.Fprintln(w, `{"type":"ERROR","object":`+expired+`}`)
			a.mu.Unlock()
			return
		}
		for _, c := range a.changes {
			if c.version > from {
				_, _ = fmt.Fprintln(w, c.text)
				from = c.version
			}
		}
		fresh := a.fresh
		a.mu.Unlock()
		_ = flush.Flush()
		select {
		case <-fresh:
		case <-r.Context().Done():
			return
		}
	}
}

// follow runs a podWatch until the test ends.
func (a *apiServer) follow() *podWatch {
	w := newPodWatch(a.settings(nil), logrus.New())
	w.pause = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(ctx)
	}()
	a.t.Cleanup(func() { cancel(); <-ended })
	return w
}

func eventually(t *testing.T, condition func() bool, message string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, message)
}

func labelOf(w *podWatch, uid string) string {
	if p := w.pod(uid); p != nil {
		return p.Metadata.Labels["v"]
	}
	return "unknown"
}

// TestPodWatch: the pods are known through changes, restarts of the server, versions
// that it has forgotten, and a new token.
func TestPodWatch(t *testing.T) {
	a := newAPIServer(t)
	for i := range 5 {
		a.put(fmt.Sprintf("uid-%d", i), "pod", map[string]string{"v": "1"}, nil)
	}
	a.put("mirror", "etcd", map[string]string{"v": "1"}, map[string]string{configHash: strings.Repeat("ab", 16)})
	a.start()
	w := a.follow()
	knows := func(uid, v string) {
		t.Helper()
		eventually(t, func() bool { return labelOf(w, uid) == v }, uid+" has "+v)
	}
	for i := range 5 {
		knows(fmt.Sprintf("uid-%d", i), "1")
	}
	knows(strings.Repeat("ab", 16), "1")
	a.put("uid-1", "pod", map[string]string{"v": "2"}, nil)
	knows("uid-1", "2")
	require.Equal(t, "shop/app:2", w.pod("uid-1").image("app"))
	require.Empty(t, w.pod("uid-1").image("other"))

	// A version that is forgotten while the watch is open, and what happens meanwhile.
	a.put("uid-6", "pod", map[string]string{"v": "1"}, nil)
	knows("uid-6", "1")
	lists, _ := a.counts()
	a.forget()
	eventually(t, func() bool { n, _ := a.counts(); return n > lists }, "it lists anew")

	// The server is away, and has forgotten when it is back; the token is another.
	a.stop()
	eventually(t, func() bool { _, err := w.health(); return err != nil }, "it says that the server is away")
	require.Equal(t, "1", labelOf(w, "uid-6"), "what is known stays known")
	a.put("uid-6", "pod", map[string]string{"v": "2"}, nil)
	a.forget()
	a.renew("second")
	a.start()
	knows("uid-6", "2")
	eventually(t, func() bool { _, err := w.health(); return err == nil }, "it says that the server is back")

	// One that is gone is known for a while: its files may still be read.
	a.delete("uid-6")
	a.put("uid-7", "pod", map[string]string{"v": "1"}, nil)
	knows("uid-7", "1")
	require.Equal(t, "2", labelOf(w, "uid-6"))
	w.mu.Lock()
	w.departed["uid-6"] = time.Now().Add(-2 * departedFor)
	w.mu.Unlock()
	a.delete("uid-7")
	knows("uid-6", "unknown")

	// A token that is not right.
	a.stop()
	require.NoError(t, os.WriteFile(filepath.Join(a.dir, "token"), []byte("wrong"), 0o600))
	a.start()
	eventually(t, func() bool { _, err := w.health(); return err != nil && strings.Contains(err.Error(), "401") }, "it says why")
}

func TestPodWatch_Endpoint(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	w := newPodWatch(Kubernetes{}, logrus.New())
	_, err := w.endpoint()
	require.ErrorContains(t, err, "kubernetes.url")
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "6443")
	got, err := w.endpoint()
	require.NoError(t, err)
	require.Equal(t, "https://[fd00::1]:6443", got)
}

// podLog is a pod's folder of logs.
func podLog(t *testing.T, pods, name, uid string) *kubelet {
	return &kubelet{t: t, dir: filepath.Join(pods, "shop_"+name+"_"+uid, "app")}
}

// TestRun_LabelsOfPodsSelectAndDescribe, also of one that the server tells of only
// after it has logged.
func TestRun_LabelsOfPodsSelectAndDescribe(t *testing.T) {
	a, pods, state := newAPIServer(t), t.TempDir(), t.TempDir()
	cart, dns, late := podLog(t, pods, "cart", "uid-1"), podLog(t, pods, "dns", "uid-2"), podLog(t, pods, "late", "uid-3")
	a.put("uid-1", "cart", map[string]string{"app": "cart", "tier": "front"}, map[string]string{"team": "red"})
	a.put("uid-2", "dns", map[string]string{"app": "dns"}, nil)
	cart.write(5)
	before := cart.lines
	a.start()
	c := defaults(func(c *Config) {
		c.Pods, c.Docker = pods, ""
		c.Labels, c.LabelFields = map[string]string{"app": "*"}, []string{"tier"}
		c.ExcludeLabels = map[string]string{"app": "dns"}
		c.Kubernetes = a.settings(func(k *Kubernetes) { k.AnnotationFields = []string{"team"} })
	})
	store := openStore(t, state)
	s := run(t, store, c, false)
	eventually(t, func() bool {
		return slices.ContainsFunc(s.input.Status(), func(f tail.FileStatus) bool { return f.Size > 0 })
	}, "the file that was there is found")
	cart.write(20)
	dns.write(20)
	late.write(20)
	late.rotate()
	late.write(20)
	s.waitFor(t, 20)
	require.Equal(t, map[string][]string{"shop/cart/app": cart.want()[before:]}, s.texts(), "start_at is for what was there, also if it had to wait for its labels")
	require.Equal(t, map[string]string{
		"content": cart.line(before), "log.iostream": "stdout", "k8s.namespace.name": "shop", "k8s.pod.name": "cart", "k8s.pod.uid": "uid-1",
		"k8s.container.name": "app", "k8s.container.restart_count": "0", "container.image.name": "shop/app:2",
		"k8s.pod.label.tier": "front", "k8s.pod.annotation.team": "red", "k8s.node.name": testNode,
	}, s.records[0])
	eventually(t, func() bool {
		return slices.ContainsFunc(s.input.Status(), func(f tail.FileStatus) bool {
			return f.Code == tail.LabelsUnknown && f.State == "waiting" && strings.Contains(f.Path, "late")
		})
	}, "the status says what waits")
	a.put("uid-3", "late", map[string]string{"app": "late"}, nil)
	s.waitFor(t, 60)
	require.Equal(t, late.want(), s.texts()["shop/late/app"])

	// Labels that change: of one that is read, what comes later is read over.
	a.put("uid-1", "cart", map[string]string{"app": "dns"}, nil)
	r := s.input.roster
	eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.ContainsFunc(slices.Collect(maps.Values(r.places)), func(p *place) bool { return p.owner.UID == "uid-1" && !p.owner.selected })
	}, "the change is known")
	cart.write(10)
	eventually(t, func() bool {
		return slices.ContainsFunc(s.input.Status(), func(f tail.FileStatus) bool {
			return strings.Contains(f.Path, "cart") && f.Framed == 30 && f.Acked == f.Size
		})
	}, "the lines are read over")
	require.Equal(t, 60, s.count())
	s.stop()
	require.NoError(t, store.Close())

	// The agent goes on where it was.
	late.write(10)
	store = openStore(t, state)
	s = run(t, store, c, false)
	s.waitFor(t, 10)
	require.Equal(t, map[string][]string{"shop/late/app": late.want()[40:]}, s.texts())
	s.stop()
	require.NoError(t, store.Close())
}

// TestRun_AFileThatWaitsIsHeld: what a pod logs before its labels are known is read when
// they are, also if its folder is gone by then; start_at is where the file was when it
// was found.
func TestRun_AFileThatWaitsIsHeld(t *testing.T) {
	a, pods := newAPIServer(t), t.TempDir()
	a.start()
	cart, other := podLog(t, pods, "cart", "uid-1"), podLog(t, pods, "other", "uid-2")
	cart.write(10)
	c := defaults(func(c *Config) {
		c.Pods, c.Docker, c.Labels, c.Kubernetes = pods, "", map[string]string{"app": "cart"}, a.settings(nil)
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	defer s.stop()
	cart.write(10)
	other.write(10)
	for _, name := range []string{"cart_uid-1/app/0.log", "other_uid-2/app/0.log"} {
		s.waitForFile(t, name)
	}
	for _, k := range []*kubelet{cart, other} {
		require.NoError(t, os.RemoveAll(filepath.Dir(k.dir)))
	}
	require.Zero(t, s.count())
	a.put("uid-1", "cart", map[string]string{"app": "cart"}, nil)
	a.put("uid-2", "other", map[string]string{"app": "other"}, nil)
	s.waitFor(t, 10)
	require.Equal(t, cart.want()[10:], s.all())
	eventually(t, func() bool {
		return slices.ContainsFunc(s.input.Status(), func(f tail.FileStatus) bool {
			return f.Framed == 10 && strings.Contains(f.Path, "other") && f.Acked == f.Size
		})
	}, "the other is read over")
	require.Equal(t, 10, s.count())
}

// TestRun_AnAPIServerThatIsAway holds nothing up for longer than it may: without a
// selection by labels, lines go without labels; with one, the files wait.
func TestRun_AnAPIServerThatIsAway(t *testing.T) {
	a, pods := newAPIServer(t), t.TempDir()
	a.start() // so that it has an address
	a.stop()
	a.put("uid-1", "cart", map[string]string{"app": "cart"}, nil)
	cart := podLog(t, pods, "cart", "uid-1")
	cart.write(10)
	config := func(edit func(*Config)) Config {
		return defaults(func(c *Config) {
			c.Pods, c.Docker, c.StartAt, c.LabelFields = pods, "", "beginning", []string{"app"}
			c.Kubernetes = a.settings(func(k *Kubernetes) { k.Wait = 100 * time.Millisecond })
			if edit != nil {
				edit(c)
			}
		})
	}
	open := run(t, openStore(t, t.TempDir()), config(nil), false)
	picky := run(t, openStore(t, t.TempDir()), config(func(c *Config) { c.Labels = map[string]string{"app": "cart"} }), false)
	open.waitFor(t, 10)
	require.NotContains(t, open.records[0], "k8s.pod.label.app")
	says := func(s *session) (codes []string) {
		for _, f := range s.input.Status() {
			if f.Code == tail.LabelsUnknown {
				codes = append(codes, f.State+" "+filepath.Base(f.Path))
			}
		}
		return codes
	}
	eventually(t, func() bool {
		return slices.Equal(says(picky), []string{"waiting shop_cart_uid-1", "unreadable the API server of Kubernetes"})
	}, "the status says what waits for what")
	require.Equal(t, []string{"unreadable the API server of Kubernetes"}, says(open))
	require.Zero(t, picky.count())

	cart.write(10)
	a.start()
	picky.waitFor(t, 20)
	require.Equal(t, "cart", picky.records[0]["k8s.pod.label.app"])
	eventually(t, func() bool { return len(says(picky)) == 0 && len(says(open)) == 0 }, "all is well")
	cart.write(10)
	open.waitFor(t, 30)
	require.Equal(t, "cart", open.records[29]["k8s.pod.label.app"], "the labels are there as soon as they are known")
	open.stop()
	picky.stop()
}

func TestKubernetes_Faults(t *testing.T) {
	for want, k := range map[string]Kubernetes{
		"":     {},
		"node": {API: true},
		"url":  {API: true, Node: "n", URL: "ftp://x"},
		"wait": {API: true, Node: "n", Wait: -1},
	} {
		got := ""
		k.Validate(func(key, _ string) { got += key })
		require.Equal(t, want, got)
	}
}

func TestReadEvents(t *testing.T) {
	read := func(text string) (kinds []string, err error) {
		err = readEvents(strings.NewReader(text), func(kind string, p *podObject) { kinds = append(kinds, kind+" "+p.Metadata.UID) })
		return kinds, err
	}
	kinds, err := read(`{"type":"ADDED","object":{"metadata":{"uid":"a"}}}{"type":"NEW","object":{}} {"type":"DELETED","object":{"metadata":{"uid":"a"}}}`)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, []string{"ADDED a", "DELETED a"}, kinds)
	_, err = read(`{"type":"ERROR","object":` + expired + `}`)
	require.ErrorIs(t, err, errExpired)
	_, err = read(`{"type":"ERROR","object":{"code":500,"message":"etcd"}}`)
	require.ErrorContains(t, err, "500 etcd")
	_, err = read(`{"type":"ADDED","object":7}`)
	require.Error(t, err)
	endless := io.MultiReader(strings.NewReader(`{"type":"ADDED","object":"`), bytes.NewReader(bytes.Repeat([]byte("x"), eventBytesMax+1)))
	require.ErrorContains(t, readEvents(endless, func(string, *podObject) {}), "bytes")
}

// FuzzReadEvents: whatever a server sends ends in an error, and in nothing worse.
func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"uid":"a","labels":{"x":"y"},"annotations":null},"spec":{"containers":[{"name":"c","image":"i"}]}}}`))
	f.Add([]byte(`{"type":"ERROR","object":` + expired + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newPodWatch(Kubernetes{}, logrus.New())
		err := readEvents(bytes.NewReader(data), w.event)
		require.Error(t, err)
		if !errors.Is(err, io.EOF) {
			return
		}
		for uid, p := range w.pods {
			require.Contains(t, p.uids(), uid)
		}
	})
}
