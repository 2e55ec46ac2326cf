package containers

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// host is a made host: a folder that is laid out as its root.
type host struct {
	t    *testing.T
	root string
}

func newHost(t *testing.T) *host {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	return &host{t, root}
}

func (h *host) path(p string) string { return filepath.Join(h.root, p) }

func (h *host) write(p, text string) {
	h.t.Helper()
	require.NoError(h.t, os.MkdirAll(filepath.Dir(h.path(p)), 0o755))
	require.NoError(h.t, os.WriteFile(h.path(p), []byte(text), 0o600))
}

func (h *host) mkdir(p string) string {
	h.t.Helper()
	require.NoError(h.t, os.MkdirAll(h.path(p), 0o755))
	return h.path(p)
}

const dockerData = "/var/lib/docker"

// docker makes a container as Docker does, with the folders of the host that binds
// names, and starts it.
func (h *host) docker(id, name string, binds map[string]dockerMount, labels map[string]string) *jail {
	h.t.Helper()
	layer := "layer" + id
	spec := jailSpec{Layer: h.path(path.Join(dockerData, "overlay2", layer))}
	for at, m := range binds {
		source := m.Source
		if source == "" {
			source = path.Join(dockerData, "volumes", m.Name, "_data")
		}
		source, err := resolveIn(h.root, source)
		require.NoError(h.t, err)
		spec.Binds = append(spec.Binds, [2]string{source, at})
	}
	slices.SortFunc(spec.Binds, func(a, b [2]string) int { return strings.Compare(a[1], b[1]) })
	j := newJail(h.t, spec)
	h.write(path.Join(dockerData, "image/overlay2/layerdb/mounts", id, "mount-id"), layer)
	c := dockerConfig{ID: id, Name: "/" + name, Driver: "overlay2", MountPoints: binds}
	c.State.Pid, c.Config.Image, c.Config.Labels = j.pid(), "shop/"+name+":1", labels
	c.Config.Env = []string{"STAGE=prod", "SECRET=x"}
	text, err := json.Marshal(c)
	require.NoError(h.t, err)
	h.write(path.Join(dockerData, "containers", id, "config.v2.json"), string(text))
	return j
}

// remove does what docker rm does.
func (h *host) remove(j *jail, id string) {
	h.t.Helper()
	j.kill()
	require.NoError(h.t, os.RemoveAll(h.path(path.Join(dockerData, "overlay2", "layer"+id))))
	require.NoError(h.t, os.RemoveAll(h.path(path.Join(dockerData, "image/overlay2/layerdb/mounts", id))))
	require.NoError(h.t, os.RemoveAll(h.path(path.Join(dockerData, "containers", id))))
}

func numbered(what string, from, to int) (text string, lines []string) {
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("%s line %06d", what, i))
	}
	return strings.Join(lines, "\n") + "\n", lines
}

// TestFilesInside_Docker: what a program writes in a container is read from the
// overlay, a mounted folder, and a volume; rotation in the container is followed, and a
// container that is removed loses no line.
func TestFilesInside_Docker(t *testing.T) {
	h := newHost(t)
	h.mkdir("/srv/real/webapp")
	require.NoError(t, os.Symlink("/srv/real", h.path("/srv/link"))) // a link of the host
	h.mkdir(dockerData + "/volumes/data/_data")
	web := h.docker("aa", "web", map[string]dockerMount{
		"/opt/webapp": {Source: "/srv/link/webapp", Destination: "/opt/webapp", Type: "bind"},
		"/data":       {Name: "data", Driver: "local", Destination: "/data", Type: "volume"},
	}, map[string]string{"app": "web", "tier": "front"})
	web.append("/var/log/app/a.log", "before\n")
	h.docker("bb", "other", nil, map[string]string{"app": "other"}).append("/var/log/app/a.log", "not selected\n")
	c := defaults(func(c *Config) {
		c.HostRoot, c.Pods, c.Docker = h.root, "", dockerData+"/containers"
		c.FilesInside = []string{"/var/log/app/*.log", "/opt/webapp/log/**/*.log", "/data/x.log"}
		c.Labels, c.ExcludeLabels, c.LabelFields, c.EnvFields = map[string]string{"app": "*"}, map[string]string{"app": "other"}, []string{"tier"}, []string{"STAGE"}
	})
	store := openStore(t, t.TempDir())
	s := run(t, store, c, false)

	var want []string
	add := func(j *jail, file, what string, n int) {
		text, lines := numbered(what, 0, n)
		j.append(file, text)
		want = append(want, lines...)
	}
	add(web, "/var/log/app/a.log", "overlay", 500)
	add(web, "/opt/webapp/log/deep/b.log", "bind", 500)
	add(web, "/data/x.log", "volume", 500)
	web.append("/data/y.log", "not meant\n")
	web.append("/var/log/app/a.txt", "not meant\n")
	s.waitFor(t, len(want))
	web.do("rename", "/var/log/app/a.log", "/var/log/app/a.log.1")
	add(web, "/var/log/app/a.log", "rotated", 100)
	add(web, "/var/log/app/a.log.1", "late", 1) // its writer had it open
	s.waitFor(t, len(want))
	require.Equal(t, map[string]string{
		"content": "overlay line 000000", "container.id": "aa", "container.name": "web", "container.image.name": "shop/web:1",
		"container.label.tier": "front", "container.env.STAGE": "prod", "log.file.path": "/var/log/app/a.log",
	}, s.find("overlay line 000000"))
	require.Equal(t, "/opt/webapp/log/deep/b.log", s.find("bind line 000000")["log.file.path"])

	// One that comes later is read from its first line, and is gone before anything of
	// it was delivered.
	s.close()
	job := h.docker("cc", "job", nil, map[string]string{"app": "job"})
	add(job, "/var/log/app/job.log", "job", 20_000)
	s.waitForFile(t, "/job.log")
	h.remove(job, "cc")
	add(web, "/var/log/app/a.log", "last", 300)
	s.open()
	s.waitFor(t, len(want))
	require.Equal(t, "job", s.find("job line 019999")["container.name"])
	slices.Sort(want)
	require.Equal(t, want, s.all())

	// A container that has ended, and is there still: its lines are read at the next
	// start, once.
	s.stop()
	require.NoError(t, store.Close())
	add(web, "/var/log/app/a.log", "while away", 50)
	web.kill()
	store = openStore(t, t.TempDir())
	s2 := run(t, store, c, false)
	defer s2.stop()
	require.Never(t, func() bool { return s2.count() > 0 }, time.Second, 100*time.Millisecond, "a new store begins at the end")
}

// TestFilesInside_DockerWithAnotherStore: where Docker keeps no layers of its own, the
// mount table of the container's process says where they are.
func TestFilesInside_DockerWithAnotherStore(t *testing.T) {
	h := newHost(t)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	h.write("/proc/1/mountinfo", string(mounts))
	id := strings.Repeat("c3", 32)
	c := defaults(func(c *Config) {
		c.Pods, c.Proc, c.Docker, c.FilesInside, c.StartAt = "", h.path("/proc"), h.path(dockerData+"/containers"), []string{"/log/*.log"}, "beginning"
	})
	j := newJail(t, jailSpec{Layer: h.path("/var/lib/containerd/7")})
	config := func(pid int) {
		h.write(dockerData+"/containers/"+id+"/config.v2.json", fmt.Sprintf(`{"ID":%q,"Name":"/web","Driver":"overlayfs","State":{"Pid":%d}}`, id, pid))
	}
	config(j.pid())
	s := run(t, openStore(t, t.TempDir()), c, false)
	defer s.stop()
	eventually(t, func() bool { return len(s.input.Status()) == 1 }, "it is said that nothing is found")
	j.append("/log/a.log", "one\n")
	j.inProc(h.path("/proc"), "/system.slice/docker-"+id+".scope")
	s.waitFor(t, 1)
	config(0) // it has ended, and is followed all the same
	j.append("/log/a.log", "two\n")
	s.waitFor(t, 2)
	require.Equal(t, "web", s.find("two")["container.name"])
}

// TestFilesInside_GoOnAfterARestart: what was written while the agent was away is read,
// and nothing twice.
func TestFilesInside_GoOnAfterARestart(t *testing.T) {
	h, state := newHost(t), t.TempDir()
	web := h.docker("aa", "web", nil, nil)
	c := defaults(func(c *Config) {
		c.HostRoot, c.Pods, c.Docker, c.FilesInside = h.root, "", dockerData+"/containers", []string{"/log/*.log"}
	})
	text, one := numbered("one", 0, 100)
	store := openStore(t, state)
	s := run(t, store, c, false)
	web.append("/log/a.log", text)
	s.waitFor(t, len(one))
	s.stop()
	require.NoError(t, store.Close())
	text, two := numbered("two", 0, 100)
	web.append("/log/a.log", text)
	web.do("rename", "/log/a.log", "/log/a.log.1")
	web.append("/log/a.log", text)
	later := h.docker("bb", "later", nil, nil)
	later.append("/log/b.log", "later\n")
	web.kill()
	store = openStore(t, state)
	s = run(t, store, c, false)
	s.waitFor(t, 2*len(two)+1)
	require.Equal(t, "later", s.find("later")["container.name"])
	s.stop()
	require.NoError(t, store.Close())
}

const podUIDInTest = "1f6b3c2d-0a1b-4c5d-8e9f-001122334455"

// pod starts a container of a pod as containerd and the kubelet do.
func (h *host) pod(uid, name, id string) *jail {
	h.t.Helper()
	kubelet := "/var/lib/kubelet/pods/" + uid
	h.mkdir("/var/log/pods/shop_cart-7f9_" + uid + "/" + name)
	h.write(kubelet+"/containers/"+name+"/4f2a", "")
	logs, sub := h.mkdir(kubelet+"/volumes/kubernetes.io~empty-dir/logs"), h.mkdir(kubelet+"/volumes/kubernetes.io~empty-dir/shared/"+name)
	spec := jailSpec{Layer: h.path("/var/lib/containerd/snapshots/" + id[:8]), Binds: [][2]string{
		{h.path(kubelet + "/containers/" + name + "/4f2a"), "/dev/termination-log"},
		{logs, "/var/log/app"},
		{sub, "/sub"},
		{h.mkdir("/data/of host"), "/hostpath"},
	}}
	j := newJail(h.t, spec)
	j.inProc(h.path("/proc"), "/kubepods.slice/kubepods-pod"+strings.ReplaceAll(uid, "-", "_")+".slice/cri-containerd-"+id+".scope")
	return j
}

// TestFilesInside_Pods: volumes, folders of the host and what a container writes over
// its image are found by the mount table of its process.
func TestFilesInside_Pods(t *testing.T) {
	h := newHost(t)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	h.write("/proc/1/mountinfo", string(mounts))
	h.write("/proc/1/cgroup", "0::/init.scope\n")
	// A process that is in the cgroup already, and not in the container yet.
	h.write("/proc/2/mountinfo", string(mounts))
	id := strings.Repeat("a1", 32)
	h.write("/proc/2/cgroup", "0::/kubepods.slice/kubepods-pod"+strings.ReplaceAll(podUIDInTest, "-", "_")+".slice/cri-containerd-"+id+".scope\n")
	c := defaults(func(c *Config) {
		c.Pods, c.Proc, c.Docker = h.path("/var/log/pods"), h.path("/proc"), ""
		c.FilesInside = []string{"/var/log/**/*.log", "/sub/*.log", "/hostpath/*.log", "/opt/*.log"}
		c.ExcludeNames = []string{"proxy"}
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	app := h.pod(podUIDInTest, "app", id)
	var want []string
	for _, file := range []string{"/var/log/app/a.log", "/var/log/b.log", "/sub/c.log", "/hostpath/d.log", "/opt/e.log"} {
		text, lines := numbered(file, 0, 200)
		app.append(file, text)
		want = append(want, lines...)
	}
	s.waitFor(t, len(want))
	require.Equal(t, map[string]string{
		"content": "/opt/e.log line 000000", "k8s.namespace.name": "shop", "k8s.pod.name": "cart-7f9", "k8s.pod.uid": podUIDInTest,
		"k8s.container.name": "app", "container.id": id, "log.file.path": "/opt/e.log",
	}, s.find("/opt/e.log line 000000"))
	for _, file := range []string{"/var/log/app/a.log", "/var/log/b.log", "/sub/c.log", "/hostpath/d.log"} {
		require.Equal(t, file, s.find(file + " line 000000")["log.file.path"])
	}

	// The pod is deleted with lines that nobody took yet.
	s.close()
	text, lines := numbered("last", 0, 5000)
	app.append("/opt/e.log", text)
	app.append("/var/log/app/new.log", text)
	want = append(want, slices.Concat(lines, lines)...)
	s.waitForFile(t, "/new.log")
	app.kill()
	for _, dir := range []string{fmt.Sprintf("/proc/%d", app.pid()), "/var/lib/kubelet/pods/" + podUIDInTest, "/var/lib/containerd/snapshots/" + id[:8], "/var/log/pods/shop_cart-7f9_" + podUIDInTest} {
		require.NoError(t, os.RemoveAll(h.path(dir)))
	}
	s.open()
	s.waitFor(t, len(want))
	slices.Sort(want)
	require.Equal(t, want, s.all())
	s.stop()
}

// TestFilesInside_AContainerThatEndedWhileTheAgentWasAway: nothing says any more where
// its files were, but the agent remembers.
func TestFilesInside_AContainerThatEndedWhileTheAgentWasAway(t *testing.T) {
	h, state := newHost(t), t.TempDir()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	h.write("/proc/1/mountinfo", string(mounts))
	c := defaults(func(c *Config) {
		c.Pods, c.Proc, c.Docker, c.StartAt, c.FilesInside = h.path("/var/log/pods"), h.path("/proc"), "", "beginning", []string{"/opt/*.log"}
	})
	job := h.pod(podUIDInTest, "job", strings.Repeat("a1", 32))
	text, want := numbered("job", 0, 1000)
	job.append("/opt/a.log", text)
	store := openStore(t, state)
	s := runWith(t, Env{Checkpoints: store, SpoolDir: state}, c, false)
	s.waitFor(t, len(want))
	s.stop()
	require.NoError(t, store.Close())

	text, more := numbered("late", 0, 1000)
	job.append("/opt/a.log", text)
	job.do("rename", "/opt/a.log", "/opt/a.log.1")
	job.append("/opt/a.log", text)
	job.kill()
	require.NoError(t, os.RemoveAll(h.path(fmt.Sprintf("/proc/%d", job.pid()))))
	store = openStore(t, state)
	s = runWith(t, Env{Checkpoints: store, SpoolDir: state}, c, false)
	s.waitFor(t, 2*len(more))
	require.Equal(t, "job", s.find("late line 000000")["k8s.container.name"])
	require.NotEmpty(t, s.find("late line 000999")["log.file.path"])
	s.stop()

	// What is remembered is of these settings: by others it might not be selected.
	other := c
	other.ExcludeNames = []string{"job"}
	m := newMemory(state, "p", &other)
	places, past, err := m.recall(time.Now())
	require.NoError(t, err)
	require.Empty(t, append(places, past...))
	// When the container is removed, its files may be open still.
	m = newMemory(state, "p", &c)
	places, past, err = m.recall(time.Now())
	require.NoError(t, err)
	require.Len(t, places, 1)
	require.Empty(t, past)
	require.NoError(t, os.RemoveAll(h.path("/var/lib/containerd")))
	places, past, err = m.recall(time.Now())
	require.NoError(t, err)
	require.Empty(t, places)
	require.Len(t, past, 1)
	// What was damaged is not used.
	require.NoError(t, os.WriteFile(m.file, []byte("{"), 0o600))
	_, _, err = m.recall(time.Now())
	require.ErrorContains(t, err, "cannot read which folders")
	require.NoError(t, store.Close())
}

// TestFilesInside_AChangeOfTheConfigurationLosesNothing of a container that was removed
// before its lines were taken, and they are still known as its lines.
func TestFilesInside_AChangeOfTheConfigurationLosesNothing(t *testing.T) {
	h := newHost(t)
	c := defaults(func(c *Config) {
		c.HostRoot, c.Pods, c.Docker, c.FilesInside = h.root, "", dockerData+"/containers", []string{"/log/*.log"}
	})
	state := t.TempDir()
	env := Env{Checkpoints: openStore(t, state), SpoolDir: state, Estate: &tail.Estate{}}
	s := runWith(t, env, c, true)
	job := h.docker("aa", "job", nil, nil)
	text, want := numbered("job", 0, 30_000) // more than a batch
	job.append("/log/a.log", text)
	s.waitForFile(t, "/a.log")
	h.remove(job, "aa")
	eventually(t, func() bool {
		s.input.roster.mu.Lock()
		defer s.input.roster.mu.Unlock()
		return len(s.input.roster.places) == 0
	}, "it is noticed")
	s.stop()
	s = runWith(t, env, c, false)
	defer s.stop()
	s.waitFor(t, len(want))
	require.Equal(t, want, s.all())
	require.Equal(t, "job", s.find(want[len(want)-1])["container.name"])
}

// FuzzMemory: whatever the file has, what comes of it can be kept again.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"of":"","folders":[{"dir":"/a","include":"*.log","exclude":["x"],"inside":"/l","key":"k","fields":[["a","b"]]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := memory{}
		places, err := m.parse(text)
		if err != nil {
			require.Empty(t, places)
			return
		}
		m.file = filepath.Join(t.TempDir(), "m.json")
		require.NoError(t, m.keep(places))
		kept, err := os.ReadFile(m.file)
		require.NoError(t, err)
		again, err := m.parse(kept)
		require.NoError(t, err)
		require.Equal(t, places, again)
	})
}

// TestFilesInside_LinesAreJoined as those of other files.
func TestFilesInside_LinesAreJoined(t *testing.T) {
	h := newHost(t)
	h.write(dockerData+"/containers/aa/config.v2.json", `{"ID":"aa","Name":"/web","MountPoints":{"/log":{"Source":"/srv/logs"}}}`)
	h.write("/srv/logs/a.log", "1 first\n  more\n2 second\n3 third\n")
	c := defaults(func(c *Config) {
		c.HostRoot, c.StartAt, c.FilesInside, c.Multiline.Start = h.root, "beginning", []string{"/log/a.log"}, `^\d`
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	defer s.stop()
	s.waitFor(t, 3)
	require.Equal(t, []string{"1 first\n  more", "2 second", "3 third"}, s.all())
	var once []string
	require.NoError(t, Once(c, strings.NewReader("1 first\n  more\n2 second\n"), func(b *record.Batch) error {
		for i := range b.Records {
			text, _ := b.Records[i].Field(record.Content)
			once = append(once, string(text))
		}
		b.Release()
		return nil
	}))
	require.Equal(t, []string{"1 first\n  more", "2 second"}, once)
}

// TestFilesInside_LabelsOfPods: with the API server, labels of the pod select files in
// its containers, and describe their lines.
func TestFilesInside_LabelsOfPods(t *testing.T) {
	h, a := newHost(t), newAPIServer(t)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	h.write("/proc/1/mountinfo", string(mounts))
	a.start()
	other := strings.Replace(podUIDInTest, "1f6b", "2f6b", 1)
	a.put(podUIDInTest, "cart-7f9", map[string]string{"app": "cart"}, nil)
	a.put(other, "dns", map[string]string{"app": "dns"}, nil)
	h.pod(podUIDInTest, "app", strings.Repeat("a1", 32)).append("/opt/a.log", "cart\n")
	h.pod(other, "app", strings.Repeat("b2", 32)).append("/opt/a.log", "dns\n")
	c := defaults(func(c *Config) {
		c.Pods, c.Proc, c.Docker, c.StartAt = h.path("/var/log/pods"), h.path("/proc"), "", "beginning"
		c.FilesInside, c.Labels, c.LabelFields = []string{"/opt/*.log"}, map[string]string{"app": "c*"}, []string{"app"}
		c.Kubernetes = a.settings(nil)
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	defer s.stop()
	s.waitFor(t, 1)
	got := s.find("cart")
	require.Equal(t, "cart", got["k8s.pod.label.app"])
	require.Equal(t, "shop/app:2", got["container.image.name"])
	for _, f := range s.input.Status() {
		require.NotContains(t, f.Path, "b2b2b2b2", "what is not selected is not opened")
	}
}

// TestFilesInside_LinksLeadNowhere: whoever is root in a container cannot have files of
// the host read, whatever is put in the place of a file or a folder.
func TestFilesInside_LinksLeadNowhere(t *testing.T) {
	h := newHost(t)
	h.write("/etc/secret.log", "secret\n")
	secret := h.path("/etc/secret.log")
	web := h.docker("aa", "web", nil, nil)
	web.append("/log/a.log", "mine\n")
	web.do("link", "/log/b.log", secret)
	web.do("link", "/log/c.log", "../../../../../../../etc/secret.log")
	web.do("link", "/dir", filepath.Dir(secret))
	web.do("link", "/log/dir", filepath.Dir(secret))
	web.do("link", "/abs", "/")
	c := defaults(func(c *Config) {
		c.HostRoot, c.Pods, c.Docker, c.StartAt = h.root, "", dockerData+"/containers", "beginning"
		c.FilesInside = []string{"/log/**/*.log", "/dir/*.log", "/abs/**/*.log"}
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	s.waitFor(t, 1)
	codes := map[string]tail.Reason{}
	require.Eventually(t, func() bool {
		for _, f := range s.input.Status() {
			codes[strings.TrimPrefix(f.Path, h.path(dockerData+"/overlay2/layeraa/diff"))] = f.Code
		}
		return len(codes) >= 5
	}, 10*time.Second, 10*time.Millisecond)
	s.stop()
	require.Equal(t, []string{"mine"}, s.all())
	require.Equal(t, map[string]tail.Reason{
		"/log/a.log": "", "/log/b.log": tail.SealedLink, "/log/c.log": tail.SealedLink, "/dir": tail.SealedLink, "/abs": tail.SealedLink,
	}, codes)
}

func TestFilesInside_WhatIsNowhereIsSaid(t *testing.T) {
	h := newHost(t)
	text := `{"ID":"aa","Name":"/db","Driver":"btrfs","State":{"Pid":0},"MountPoints":{"/mem":{"Destination":"/mem","Type":"tmpfs"}}}`
	h.write(dockerData+"/containers/aa/config.v2.json", text)
	h.write(dockerData+"/containers/bb/config.v2.json", "{")
	c := defaults(func(c *Config) {
		c.HostRoot, c.Pods, c.Docker, c.FilesInside = h.root, "", dockerData+"/containers", []string{"/mem/*.log", "/log/*.log"}
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	defer s.stop()
	status := s.input.Status()
	require.Len(t, status, 1)
	require.Equal(t, "db", status[0].Path)
	require.Equal(t, tail.NotFound, status[0].Code)
	require.Contains(t, status[0].Fix, "volume")
}

// TestFilesInside_WhatIsNowhereBesideOthersIsSaid: one pattern has a folder, and all of
// the other lies in memory.
func TestFilesInside_WhatIsNowhereBesideOthersIsSaid(t *testing.T) {
	h := newHost(t)
	h.mkdir("/srv/log")
	h.write(dockerData+"/containers/cc/config.v2.json", `{"ID":"cc","Name":"/web","Driver":"btrfs","State":{"Pid":0},
		"MountPoints":{"/mem":{"Destination":"/mem","Type":"tmpfs"},"/log":{"Destination":"/log","Source":"/srv/log","Type":"bind"}}}`)
	c := defaults(func(c *Config) {
		c.HostRoot, c.Pods, c.Docker, c.FilesInside = h.root, "", dockerData+"/containers", []string{"/mem/*.log", "/log/*.log"}
	})
	s := run(t, openStore(t, t.TempDir()), c, false)
	defer s.stop()
	status := s.input.Status()
	require.Len(t, status, 1)
	require.Equal(t, "web", status[0].Path)
	require.Equal(t, tail.NotFound, status[0].Code)
}

func TestResolveIn(t *testing.T) {
	h := newHost(t)
	h.mkdir("/a/b")
	for link, to := range map[string]string{"/abs": "/a", "/rel": "a/b", "/a/up": "../../../../a", "/loop": "/loop"} {
		require.NoError(t, os.Symlink(to, h.path(link)))
	}
	for p, want := range map[string]string{"/": "/", "/a/b": "/a/b", "/abs/b": "/a/b", "/rel": "/a/b", "/a/up/b": "/a/b", "/abs/up/up/b": "/a/b"} {
		got, err := resolveIn(h.root, p)
		require.NoError(t, err)
		require.Equal(t, h.path(want), got, p)
	}
	for _, p := range []string{"/no", "/loop", "/a/no/b"} {
		_, err := resolveIn(h.root, p)
		require.Error(t, err, p)
	}
}
