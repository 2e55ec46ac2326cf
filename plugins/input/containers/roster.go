package containers

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// lookInterval is how often it is asked which containers there are.
const lookInterval = time.Second

// container is one that is there, by what was found of it; or all those of a pod, where
// their output is read. What meta points to is not changed.
type container struct {
	meta   *Metadata
	mounts []mount
	found  map[string]string // by folder of the host: without symbolic links, as it was first found
	dir    string            // with the logs of a pod, "" for a container
	early  bool              // it was there at the first look
	seen   time.Time         // when it was found
	bare   bool              // it goes without the labels of its pod
	hold   bool              // it waits for them
	ended  time.Time         // when it was found to be gone, and still waits
}

// place is a folder of the host in which files of a container lie.
type place struct {
	folder  tail.Folder
	include string // the one pattern of folder
	inside  string // what the container calls the folder, "" if it has another name there
	owner   *Metadata
	gone    time.Time // when it was found to be gone from the disk
}

// key tells places apart.
func (p *place) key() string { return p.folder.Dir + "\x00" + p.include }

// roster keeps the folders of the containers that are there. A folder is followed
// until it is gone from the disk, whoever has it: then its files are read to their
// end. look belongs to one goroutine; all else is safe for concurrent use.
type roster struct {
	config    Config // as of the host
	root      string // of the host, without symbolic links
	log       logrus.FieldLogger
	follow    func([]tail.Folder) error
	kube      *podWatch // nil if the API server is not asked
	bare      func()    // is told of each container that goes without labels
	memory    memory
	unkept    bool // what is remembered is not what is known,
	forgetful bool // and could not be written
	processes *processes
	docked    map[string]*docked
	podded    map[string]*container
	pods      map[string][2]string // namespace and name, by uid
	looked    bool

	mu       sync.Mutex
	waiting  map[string]tail.FileStatus // pods whose labels are not known, by folder
	places   map[string]*place
	past     []*place // gone, with files that may still be read
	failures map[string]tail.FileStatus
	hidden   []tail.FileStatus      // containers of which no folder is known
	known    map[string]*recognised // by generation
}

// startsFor is for how long the folder of a container is looked for that takes what it
// writes, after Docker said that it was started.
const startsFor = time.Minute

// docked is one of Docker's containers, as of when its configuration was read.
type docked struct {
	container
	changed time.Time
	size    int64
	whole   bool // all of its folders are known
}

// recognised is whose a file is.
type recognised struct {
	place *place
	owner *Metadata // of the place, when this was made
	own   *Metadata // the same with fields for the file
}

func newRoster(c Config, log logrus.FieldLogger) *roster {
	return &roster{
		config: c, log: log, processes: &processes{dir: filepath.Join(c.HostRoot, c.Proc), found: map[string]*pod{}},
		docked: map[string]*docked{}, places: map[string]*place{}, failures: map[string]tail.FileStatus{}, known: map[string]*recognised{},
	}
}

// run looks for containers until ctx ends. The first look was before.
func (r *roster) run(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var told chan struct{}
	if r.kube != nil {
		told = r.kube.changed
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-told:
		case <-ticker.C:
		}
		r.look(time.Now())
	}
}

// look finds the containers that are there, and has their folders followed.
func (r *roster) look(now time.Time) {
	if r.root == "" {
		root, err := filepath.EvalSymlinks(r.config.HostRoot)
		if r.fail(r.config.HostRoot, err); err != nil {
			return
		}
		r.root = root
	}
	list := r.ready(r.containers(now), now)
	slices.SortFunc(list, func(a, b *container) int {
		return strings.Compare(a.meta.Name+"\x00"+a.meta.ID, b.meta.Name+"\x00"+b.meta.ID)
	})
	claimed, changed, hidden := map[string]bool{}, false, []tail.FileStatus(nil)
	for _, c := range list {
		places, none := r.placesOf(c)
		for _, p := range places {
			changed = r.claim(p, claimed) || changed
		}
		if none && c.meta.selected {
			hidden = append(hidden, hiddenStatus(c, now))
		}
	}
	r.mu.Lock()
	r.hidden = hidden
	r.mu.Unlock()
	changed = r.forget(claimed, now) || changed
	r.publish(changed)
	r.looked = true
}

// publish has the folders followed, if others are there than before, and remembers
// them.
func (r *roster) publish(changed bool) {
	r.mu.Lock()
	var places []*place
	for _, key := range slices.Sorted(maps.Keys(r.places)) {
		places = append(places, r.places[key])
	}
	keep, past := changed || r.unkept, slices.Clone(r.past)
	r.mu.Unlock()
	if changed || !r.looked {
		var folders []tail.Folder
		for _, p := range places {
			folders = append(folders, p.folder)
		}
		if err := r.follow(folders); err != nil {
			r.log.WithError(err).Warn("a folder of a container is not followed")
		}
	}
	if !keep {
		return
	}
	r.unkept = false
	if err := r.memory.keep(append(places, past...)); err != nil {
		r.unkept = true
		if !r.forgetful {
			r.log.WithError(err).Warn("what containers write before they end may not be found after a restart")
		}
	}
	r.forgetful = r.unkept
}

// recall begins with the folders that were followed before the agent was restarted.
func (r *roster) recall() {
	places, past, err := r.memory.recall(time.Now())
	if err != nil {
		r.log.WithError(err).Warn("the files of containers that have ended meanwhile may not be found")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range places {
		r.places[p.key()] = p
	}
	r.past = append(r.past, past...)
}

// containers are those that are there.
func (r *roster) containers(now time.Time) []*container {
	if len(r.config.FilesInside) == 0 {
		return r.podFolders(now)
	}
	list, ids := r.dockers(now), map[string]bool{}
	for _, c := range list {
		ids[c.meta.ID] = true
	}
	return append(list, r.podContainers(ids, now)...)
}

// fail remembers for the status what could not be read; err is nil if it could.
func (r *roster) fail(file string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil || errors.Is(err, fs.ErrNotExist) && file != r.config.HostRoot {
		delete(r.failures, file)
		return
	}
	if _, ok := r.failures[file]; !ok {
		r.log.WithError(err).WithField("path", file).Warn("cannot look for containers")
	}
	code := tail.Unreadable
	if errors.Is(err, fs.ErrPermission) {
		code = tail.NoPermission
	}
	r.failures[file] = tail.FileStatus{
		Path: file, State: "unreadable", Code: code, Reason: "cannot look for containers: " + err.Error(),
		Fix: "run the agent as root, or with CAP_DAC_READ_SEARCH, and mount the folder into its container", BehindSince: r.since(file),
	}
}

func (r *roster) since(file string) time.Time {
	if f, ok := r.failures[file]; ok {
		return f.BehindSince
	}
	return time.Now()
}

// status is what keeps files of containers from being read.
func (r *roster) status() (list []tail.FileStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, file := range slices.Sorted(maps.Keys(r.failures)) {
		list = append(list, r.failures[file])
	}
	for _, dir := range slices.Sorted(maps.Keys(r.waiting)) {
		list = append(list, r.waiting[dir])
	}
	list = append(list, r.hidden...)
	if r.kube == nil {
		return list
	}
	if since, err := r.kube.health(); err != nil {
		list = append(list, tail.FileStatus{
			Path: "the API server of Kubernetes", State: "unreadable", Code: tail.LabelsUnknown, Reason: "the labels of pods cannot be asked for: " + err.Error(),
			Fix: "let the agent's service account list and watch pods, and see that the server can be reached", BehindSince: since,
		})
	}
	return list
}

// hiddenStatus says that files of a container cannot be read.
func hiddenStatus(c *container, now time.Time) tail.FileStatus {
	return tail.FileStatus{
		Path: strings.TrimLeft(strings.Join([]string{c.meta.Namespace, c.meta.Pod, c.meta.Name}, "/"), "/"), State: "unreadable", Code: tail.NotFound,
		Reason: "files_inside lie in no folder of the host that can be found: in memory, or on a root file system that is no overlay",
		Fix:    "mount a volume where the program writes its files", BehindSince: now,
	}
}

// dockers are Docker's containers.
func (r *roster) dockers(now time.Time) (list []*container) {
	if r.config.Docker == "" {
		return nil
	}
	dir := filepath.Join(r.root, r.config.Docker)
	entries, err := os.ReadDir(dir)
	r.fail(dir, err)
	there := map[string]*docked{}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name(), "config.v2.json"))
		if err != nil {
			continue
		}
		d := r.docked[e.Name()]
		again := d == nil || !d.whole && now.Sub(d.changed) < startsFor
		if again || !d.changed.Equal(info.ModTime()) || d.size != info.Size() {
			if fresh := r.docker(dir, e.Name()); fresh != nil {
				fresh.changed, fresh.size = info.ModTime(), info.Size()
				d = fresh
			}
		}
		if d != nil {
			there[e.Name()] = d
			list = append(list, &d.container)
		}
	}
	r.docked = there
	return list
}

// docker reads what Docker says of a container, nil while it writes that.
func (r *roster) docker(dir, id string) *docked {
	c, ok := readDocker(filepath.Join(dir, id))
	if !ok {
		return nil
	}
	data := path.Dir(r.config.Docker)
	m := c.metadata(id)
	r.config.judge(&m)
	d := &docked{container: container{meta: &m, mounts: c.mounts(data), early: !r.looked, found: map[string]string{}}}
	if old := r.docked[id]; old != nil {
		d.early, d.found = old.early, old.found
	}
	upper := c.upperOf(r.root, data, id)
	if upper == "" && c.State.Pid > 0 {
		upper = r.processes.upper(c.State.Pid, id)
	}
	d.whole = upper != "" || c.State.Pid == 0
	d.mounts = append(d.mounts, mount{inside: "/", host: upper})
	return d
}

// placesOf are the folders in which the files of a container lie. hidden is true if all
// that a pattern can match lies in no folder of the host.
func (r *roster) placesOf(c *container) (places []*place, hidden bool) {
	if c.dir != "" {
		return []*place{{include: podFiles, owner: c.meta, folder: tail.Folder{
			Dir: c.dir, Include: []string{podFiles}, Key: r.podKey(), Early: c.early, Hold: c.hold,
		}}}, false
	}
	for _, pattern := range r.config.FilesInside {
		spots, some := spotsOf(pattern, c.mounts)
		hidden = hidden || some && len(spots) == 0
		for _, s := range spots {
			dir, ok := c.found[s.host]
			if !ok {
				var err error
				if dir, err = resolveIn(r.root, s.host); err != nil {
					continue // not mounted here yet, or gone
				}
				c.found[s.host] = dir
			}
			places = append(places, &place{
				include: s.include, inside: s.inside, owner: c.meta,
				folder: tail.Folder{Dir: dir, Include: []string{s.include}, Exclude: s.exclude, Key: keyOf(pattern), Early: c.early, Sealed: true, Hold: c.hold},
			})
		}
	}
	return places, hidden || len(places) == 0
}

// keyOf is what a pattern inside containers is remembered by.
func keyOf(pattern string) string { return "inside " + pattern }

// claim gives a place to its container, and reports whether it is new, or held no
// longer. One that several have belongs to the first. What is not selected is followed
// only if it was before.
func (r *roster) claim(p *place, claimed map[string]bool) (changed bool) {
	key := p.key()
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.places[key]
	switch {
	case old == nil && !p.owner.selected || claimed[key]:
		return false
	case old == nil:
		r.places[key] = p
		changed = true
	case old.owner != p.owner:
		old.owner, old.inside = p.owner, p.inside
		r.unkept = true
	}
	if old != nil && old.folder.Hold != p.folder.Hold {
		old.folder.Hold = p.folder.Hold
		changed = true
	}
	claimed[key] = true
	return changed
}

// pastFor is how long it is known whose a folder was, beyond the time that its files
// are held open.
const pastFor = 10 * time.Minute

// forget takes away the folders that are gone, and reports whether there are some.
func (r *roster) forget(claimed map[string]bool, now time.Time) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = slices.DeleteFunc(r.past, func(p *place) bool {
		return now.Sub(p.gone) > r.config.DeletedReleaseAfter+pastFor
	})
	for key, p := range r.places {
		if claimed[key] {
			continue
		}
		if _, err := os.Lstat(p.folder.Dir); errors.Is(err, fs.ErrNotExist) {
			p.gone = now
			r.past = append(r.past, p)
			delete(r.places, key)
			changed = true
		}
	}
	return changed
}

// of returns what is known about the container of a file; nil if no folder of one
// has it.
func (r *roster) of(origin *record.Origin) *Metadata {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[origin.Generation]
	if k != nil && k.owner == k.place.owner {
		return k.own
	}
	var p *place
	if k != nil {
		p = k.place
	} else if p = r.placeOf(origin.Path); p == nil {
		return nil
	}
	own := *p.owner
	if m, ok := podOf(origin.Path); ok && len(r.config.FilesInside) == 0 {
		own = *m.withPod(p.owner.object)
		r.config.judge(&own)
	}
	if rest, ok := below(origin.Path, p.folder.Dir); ok && p.inside != "" {
		file := record.Field{Name: []byte("log.file.path"), Value: []byte(path.Join(p.inside, rest))}
		own.fields = append(slices.Clip(own.fields), file)
	}
	if len(r.known) >= knownMax {
		clear(r.known)
	}
	r.known[origin.Generation] = &recognised{place: p, owner: p.owner, own: &own}
	return &own
}

// placeOf finds the place of a file: of several, one whose pattern it matches.
func (r *roster) placeOf(file string) (found *place) {
	better := func(p *place) {
		rest, ok := below(file, p.folder.Dir)
		if !ok || found != nil && len(found.folder.Dir) > len(p.folder.Dir) {
			return
		}
		matches, _ := doublestar.Match(p.include, strings.TrimPrefix(rest, "/"))
		if found == nil || len(found.folder.Dir) < len(p.folder.Dir) || matches {
			found = p
		}
	}
	for _, p := range r.past {
		better(p)
	}
	for _, key := range slices.Sorted(maps.Keys(r.places)) {
		better(r.places[key])
	}
	return found
}
