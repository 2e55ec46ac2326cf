package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/transport"
)

// Kubernetes says how the API server is asked for the labels and annotations of the
// pods of this node.
type Kubernetes struct {
	// API asks the server. Without it, pods have no labels.
	API bool `yaml:"api" default:"false" example:"true"`
	// URL is the address of the server. Without it, the one that Kubernetes tells each
	// container is asked (KUBERNETES_SERVICE_HOST).
	URL string `yaml:"url" example:"https://10.0.0.1:6443"`
	// TokenFile has the token to show. It is read anew for each request, as Kubernetes
	// replaces it. Empty shows none.
	TokenFile string `yaml:"token_file" path:"true" default:"/var/run/secrets/kubernetes.io/serviceaccount/token" example:"/etc/wasmtail/kubernetes.token"`
	// CAFile has the certificates of the authorities to trust. Empty trusts those of
	// the system.
	CAFile string `yaml:"ca_file" path:"true" default:"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt" example:"/etc/wasmtail/kubernetes.pem"`
	// Node is the name of this node: only its pods are asked for.
	Node string `yaml:"node" example:"${env:NODE_NAME}"`
	// Wait is how long the files of a new container wait for the labels of its pod.
	// After it they are delivered without; but if labels select, they wait on.
	Wait time.Duration `yaml:"wait" default:"5s" example:"30s"`
	// AnnotationFields are annotations of pods that become fields
	// `k8s.pod.annotation.NAME` of each record.
	AnnotationFields []string `yaml:"annotation_fields" example:"[team]"`
}

// Validate reports what is wrong with the settings.
func (k *Kubernetes) Validate(report func(key, problem string)) {
	if !k.API {
		return
	}
	if k.Node == "" {
		report("node", "is missing: write ${env:NODE_NAME}, and set that from spec.nodeName")
	}
	if k.URL != "" {
		if _, err := transport.ParseEndpoint(k.URL); err != nil {
			report("url", err.Error())
		}
	}
	if k.Wait < 0 {
		report("wait", "must not be negative")
	}
}

const (
	// watchFor is how long the server is asked to keep a watch open. Then another is
	// begun, with the token of that time.
	watchFor = 4 * time.Minute
	// pauseMin and pauseMax are how long to wait after a failure, doubled each time.
	pauseMin, pauseMax = time.Second, 30 * time.Second
	// departedFor is how long a pod is remembered that is gone from the server: its
	// files may still be read.
	departedFor = time.Hour
)

// podWatch knows the pods of a node from the API server. run belongs to one goroutine;
// all else is safe for concurrent use.
type podWatch struct {
	settings Kubernetes
	log      logrus.FieldLogger
	changed  chan struct{} // holds 1: there is something new
	pause    time.Duration // pauseMin, but in tests
	version  string        // up to which changes are known
	listed   chan struct{} // closed when all pods were listed for the first time
	first    sync.Once     // closes it

	mu       sync.Mutex
	pods     map[string]*podObject // by each of their uids
	departed map[string]time.Time  // of those that are gone: since when
	failure  error                 // of the last request, nil if it succeeded
	since    time.Time             // of the first failure in a row
}

func newPodWatch(k Kubernetes, log logrus.FieldLogger) *podWatch {
	return &podWatch{
		settings: k, log: log, changed: make(chan struct{}, 1), listed: make(chan struct{}), pause: pauseMin,
		pods: map[string]*podObject{}, departed: map[string]time.Time{},
	}
}

// pod is what is known of a pod, nil if nothing is.
func (w *podWatch) pod(uid string) *podObject {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pods[uid]
}

// health is why the last request failed, nil if it did not, and since when requests do.
func (w *podWatch) health() (since time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since, w.failure
}

// endpoint is the address of the server.
func (w *podWatch) endpoint() (string, error) {
	if w.settings.URL != "" {
		return w.settings.URL, nil
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" {
		return "", errors.New("cannot find the API server: KUBERNETES_SERVICE_HOST is not set, as it is in a pod; set kubernetes.url")
	}
	if port == "" {
		port = "443"
	}
	return "https://" + net.JoinHostPort(host, port), nil
}

// run keeps the pods up to date until ctx ends.
func (w *podWatch) run(ctx context.Context) {
	pause := w.pause
	for ctx.Err() == nil {
		began := time.Now()
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		w.note(err)
		if ended := err == nil || errors.Is(err, errExpired); ended {
			pause = w.pause
			if time.Since(began) > w.pause {
				continue
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, max(pauseMax, w.pause))
	}
}

// follow lists the pods and then follows their changes, until that fails. It is nil if
// a watch ended as it should, and the next is to be begun.
func (w *podWatch) follow(ctx context.Context) error {
	endpoint, err := w.endpoint()
	if err != nil {
		return err
	}
	client, err := transport.New(transport.Config{ // anew: the authorities may have changed
		Endpoint: endpoint, TLS: transport.TLS{CAFile: w.settings.CAFile}, ResponseBytesMax: pageBytesMax, UserAgent: "wasmtail",
	})
	if err != nil {
		return err
	}
	defer client.Close()
	if w.version == "" {
		if err := w.list(ctx, client); err != nil {
			return err
		}
	}
	w.note(nil)
	err = w.watch(ctx, client)
	var f *transport.Failure
	if errors.Is(err, errExpired) || errors.As(err, &f) && f.Status == http.StatusGone {
		w.version = ""
		return errExpired
	}
	return err
}

// note remembers what came of a request.
func (w *podWatch) note(err error) {
	w.mu.Lock()
	before := w.failure
	if errors.Is(err, errExpired) {
		err = nil
	}
	switch w.failure = err; {
	case err == nil:
		w.since = time.Time{}
	case before == nil:
		w.since = time.Now()
	}
	w.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		w.log.WithError(err).Warn("the API server does not tell the labels of pods")
	}
}

// request is a request for the pods of the node.
func (w *podWatch) request(query url.Values) (r transport.Request, err error) {
	query.Set("fieldSelector", "spec.nodeName="+w.settings.Node)
	r = transport.Request{Method: http.MethodGet, Path: "/api/v1/pods", RawQuery: query.Encode(), Header: http.Header{"Accept": {"application/json"}}}
	if w.settings.TokenFile != "" {
		token, err := os.ReadFile(w.settings.TokenFile)
		if err != nil {
			return r, fmt.Errorf("cannot read the token for the API server: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return r, nil
}

// list learns all pods of the node.
func (w *podWatch) list(ctx context.Context, client *transport.Client) error {
	there := map[string]*podObject{}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for {
		r, err := w.request(query)
		if err != nil {
			return err
		}
		answer, err := client.Post(ctx, r)
		if err != nil {
			return err
		}
		var page podList
		if err := json.Unmarshal(answer.Body, &page); err != nil {
			return fmt.Errorf("cannot read the list of pods: %w", err)
		}
		for i := range page.Items {
			for _, uid := range page.Items[i].uids() {
				there[uid] = &page.Items[i]
			}
		}
		if page.Metadata.Continue == "" {
			w.version = page.Metadata.ResourceVersion
			break
		}
		query.Set("continue", page.Metadata.Continue)
	}
	w.mu.Lock()
	now := time.Now()
	for uid := range w.pods {
		if there[uid] == nil {
			w.departLocked(uid, now)
		}
	}
	maps.Copy(w.pods, there)
	for uid := range there {
		delete(w.departed, uid)
	}
	w.mu.Unlock()
	w.first.Do(func() { close(w.listed) })
	w.tell()
	return nil
}

// await waits until the pods were listed, for as long as files may wait for that.
func (w *podWatch) await(ctx context.Context) {
	timer := time.NewTimer(w.settings.Wait)
	defer timer.Stop()
	select {
	case <-w.listed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// watch learns the changes until the server ends that, or it fails.
func (w *podWatch) watch(ctx context.Context, client *transport.Client) error {
	r, err := w.request(url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {w.version},
		"timeoutSeconds": {strconv.Itoa(int(watchFor / time.Second))},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watchFor+time.Minute) // a server that is gone says nothing
	defer cancel()
	body, err := client.Stream(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	err = readEvents(body, func(kind string, p *podObject) {
		if v := p.Metadata.ResourceVersion; v != "" {
			w.version = v
		}
		w.event(kind, p)
	})
	if errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func (w *podWatch) event(kind string, p *podObject) {
	if kind == "BOOKMARK" {
		return
	}
	w.mu.Lock()
	for _, uid := range p.uids() {
		if kind == "DELETED" {
			w.departLocked(uid, time.Now())
			continue
		}
		w.pods[uid] = p
		delete(w.departed, uid)
	}
	w.mu.Unlock()
	w.tell()
}

// departLocked notes that a pod is gone, and forgets those that are long gone.
func (w *podWatch) departLocked(uid string, now time.Time) {
	if _, ok := w.departed[uid]; !ok {
		w.departed[uid] = now
	}
	for other, at := range w.departed {
		if now.Sub(at) > departedFor {
			delete(w.departed, other)
			delete(w.pods, other)
		}
	}
}

func (w *podWatch) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
