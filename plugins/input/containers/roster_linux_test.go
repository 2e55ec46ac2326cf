package containers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/tail"
	"github.com/wasmtail/wasmtail/internal/record"
)

// busyHost is a host with containers of Docker and many processes that are in none.
func busyHost(tb testing.TB, containers, processes int) *roster {
	tb.Helper()
	root := tb.TempDir()
	write := func(p, text string) {
		require.NoError(tb, os.MkdirAll(filepath.Join(root, filepath.Dir(p)), 0o755))
		require.NoError(tb, os.WriteFile(filepath.Join(root, p), []byte(text), 0o600))
	}
	for i := range containers {
		id := fmt.Sprintf("id%d", i)
		write("/var/lib/docker/containers/"+id+"/config.v2.json", `{"ID":"`+id+`","Name":"/c`+strconv.Itoa(i)+`","Driver":"overlay2","State":{"Pid":1}}`)
		write("/var/lib/docker/image/overlay2/layerdb/mounts/"+id+"/mount-id", "layer"+id)
		write("/var/lib/docker/overlay2/layer"+id+"/diff/var/log/app/a.log", "")
	}
	for pid := range processes {
		write(fmt.Sprintf("/proc/%d/cgroup", pid+1), "0::/system.slice/ssh.service\n")
	}
	write("/proc/1/mountinfo", hostMounts)
	c := defaults(func(c *Config) { c.HostRoot, c.FilesInside = root, []string{"/var/log/app/*.log", "/opt/**/*.log"} })
	r := newRoster(c, logrus.New())
	r.follow = func([]tail.Folder) error { return nil }
	r.look(time.Now())
	require.Len(tb, r.places, 2*containers)
	return r
}

// TestRoster_KeepsWhatWasFound: what is put in the place of a folder on the way to a
// mount, after the container was found, does not lead elsewhere.
func TestRoster_KeepsWhatWasFound(t *testing.T) {
	h := newHost(t)
	h.mkdir("/srv/logs")
	h.mkdir("/etc")
	h.write(dockerData+"/containers/aa/config.v2.json", `{"ID":"aa","Name":"/web","MountPoints":{"/log":{"Source":"/srv/logs"}}}`)
	c := defaults(func(c *Config) { c.HostRoot, c.FilesInside = h.root, []string{"/log/*.log"} })
	r := newRoster(c, logrus.New())
	var got []tail.Folder
	r.follow = func(list []tail.Folder) error { got = list; return nil }
	r.look(time.Now())
	require.Len(t, got, 1)
	require.Equal(t, h.path("/srv/logs"), got[0].Dir)
	require.True(t, got[0].Sealed && got[0].Early)
	require.NoError(t, os.Remove(h.path("/srv/logs")))
	require.NoError(t, os.Symlink("/etc", h.path("/srv/logs")))
	h.write(dockerData+"/containers/aa/config.v2.json", `{"ID":"aa","Name":"/renamed","MountPoints":{"/log":{"Source":"/srv/logs"}}}`)
	r.look(time.Now())
	require.Len(t, got, 1)
	require.Equal(t, h.path("/srv/logs"), got[0].Dir)
	m := r.of(&record.Origin{Generation: "g", Path: h.path("/srv/logs/a.log")})
	require.Equal(t, "renamed", m.Name)
}

// TestTellDoesNotAllocate for a line.
func TestTellDoesNotAllocate(t *testing.T) {
	m := Metadata{Name: "web", ID: "aa", Image: "shop/web:1"}
	c := defaults(nil)
	c.judge(&m)
	b := record.Get(&record.Origin{Ledger: &record.Ledger{}})
	defer b.Release()
	line := []byte("GET /cart HTTP/1.1 200")
	fill := func() {
		b.Reset()
		for range 100 {
			b.Add(line)
		}
		tell(b, m.fields)
	}
	fill() // warm the arena
	require.Zero(t, testing.AllocsPerRun(100, fill))
}

// BenchmarkLook is what it costs each second to see that nothing has changed.
func BenchmarkLook(b *testing.B) {
	r := busyHost(b, 200, 2000)
	b.ReportAllocs()
	for b.Loop() {
		r.look(time.Now())
	}
}
