package containers

import (
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/stretchr/testify/require"
)

func TestSpotsOf(t *testing.T) {
	mounts := []mount{
		{"/", "/upper"},
		{"/data", "/vol/data"},
		{"/data/deep", "/vol/deep"},
		{"/var/log/app", "/vol/[1]"},
		{"/etc/app.log", "/src/renamed.log"},
		{"/tmp", ""},
	}
	for _, c := range []struct {
		pattern string
		want    []string // host, include, exclude
		hidden  bool
	}{
		{"/opt/*.log", []string{"/upper opt/*.log"}, false},
		{"/data/x.log", []string{"/vol/data x.log"}, false},
		{"/data/deep/*.log", []string{"/vol/deep *.log"}, false},
		{"/data/deeper/*.log", []string{"/vol/data deeper/*.log"}, false},
		{"/data/*/*.log", []string{"/vol/data */*.log -deep", "/vol/deep *.log"}, false},
		{"/data/**/*.log", []string{"/vol/data **/*.log -deep", "/vol/deep **/*.log"}, false},
		{"/var/**/a.log", []string{"/upper var/**/a.log -var/log/app", "/vol/[1] **/a.log"}, false},
		{"/etc/app.log", []string{"/upper etc/app.log -etc/app.log", "/src renamed.log"}, false},
		{"/tmp/x.log", nil, true},
		{"/*/x.log", []string{"/upper */x.log -data -tmp", "/vol/data x.log"}, true},
		{"/v*/log/app/{a,b}.log", []string{"/upper v*/log/app/{a,b}.log -var/log/app", "/vol/[1] {a,b}.log"}, false},
	} {
		require.Empty(t, patternFault(c.pattern), c.pattern)
		spots, hidden := spotsOf(c.pattern, mounts)
		var got []string
		for _, s := range spots {
			text := s.host + " " + s.include
			for _, e := range s.exclude {
				text += " -" + e
			}
			got = append(got, text)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		require.Equal(t, c.want, got, c.pattern)
		require.Equal(t, c.hidden, hidden, c.pattern)
	}
	for _, wrong := range []string{"", "x", "/", "/a/../b", "/a/", "/{a/b,c}/x", "/[", "/**/a/**/b/**/c"} {
		require.NotEmpty(t, patternFault(wrong), wrong)
	}
}

// FuzzSpotsOf: whatever is mounted where, each file that a pattern matches in the
// container is found in one place, that of the longest mount.
func FuzzSpotsOf(f *testing.F) {
	f.Add("/var/**/*.log", "/var/log/app", "/var/log", "/var/log/app/x.log")
	f.Add("/a/*/c", "/a/b", "/a", "/a/b/c")
	f.Add("/a*/**/c", "/a[1]", "/a[1]/b", "/a[1]/b/c")
	f.Fuzz(func(t *testing.T, pattern, one, two, file string) {
		for _, p := range []string{one, two, file} {
			if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsRune(p, 0) || !utf8.ValidString(p) {
				return
			}
		}
		if patternFault(pattern) != "" || one == two || file == one || file == two {
			return
		}
		if ok, err := doublestar.Match(pattern, file); !ok || err != nil {
			return
		}
		mounts := []mount{{"/", "/H0"}, {one, "/H1"}, {two, "/H2"}}
		want := "/H0" + file
		longest := 0
		for _, m := range mounts[1:] {
			if rest, ok := below(file, m.inside); ok && len(m.inside) > longest {
				want, longest = m.host+rest, len(m.inside)
			}
		}
		spots, _ := spotsOf(pattern, mounts)
		got := map[string]bool{}
		for _, s := range spots {
			for _, host := range []string{"/H0" + file, want} {
				rest, ok := below(host, s.host)
				if !ok {
					continue
				}
				rest = strings.TrimPrefix(rest, "/")
				if ok, _ := doublestar.Match(s.include, rest); !ok {
					continue
				}
				hides := func(e string) bool {
					ok, _ := doublestar.Match(e, rest)
					deep, _ := doublestar.Match(e+"/**", rest)
					return ok || deep
				}
				if !slices.ContainsFunc(s.exclude, hides) {
					got[host] = true
				}
			}
		}
		require.Equal(t, map[string]bool{want: true}, got, "%q in %v", pattern, mounts)
	})
}

const hostMounts = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 8:2 / /var/lib rw shared:2 - ext4 /dev/sda2 rw
24 23 0:50 / /var/lib/kubelet/pods/0b1c/volumes/kubernetes.io~empty-dir/mem rw - tmpfs tmpfs rw
`

const ownMounts = `900 800 0:99 / / rw,relatime - overlay overlay rw,lowerdir=/l/1:/l/2,upperdir=/var/lib/snap\04012/fs,workdir=/var/lib/snap/w
901 900 0:5 / /proc rw - proc proc rw
902 900 8:2 /kubelet/pods/0b1c/volumes/kubernetes.io~empty-dir/logs /var/log/app rw - ext4 /dev/sda2 rw
903 900 0:50 / /mem rw - tmpfs tmpfs rw
904 900 8:2 /kubelet/pods/0b1c/containers/web/4f2a /dev/termination-log rw - ext4 /dev/sda2 rw
905 900 8:1 /data/my\040logs /data rw - ext4 /dev/sda1 rw
906 900 8:1 /gone//deleted /gone rw - ext4 /dev/sda1 rw
nothing
`

func TestMountsOf(t *testing.T) {
	host, own := parseMounts(hostMounts), parseMounts(ownMounts)
	mounts, ok := mountsOf(own, host)
	require.True(t, ok)
	require.Equal(t, []mount{
		{"/", "/var/lib/snap 12/fs"},
		{"/proc", ""},
		{"/var/log/app", "/var/lib/kubelet/pods/0b1c/volumes/kubernetes.io~empty-dir/logs"},
		{"/mem", "/var/lib/kubelet/pods/0b1c/volumes/kubernetes.io~empty-dir/mem"},
		{"/dev/termination-log", "/var/lib/kubelet/pods/0b1c/containers/web/4f2a"},
		{"/data", "/data/my logs"},
		{"/gone", ""},
	}, mounts)
	require.Equal(t, "web", nameOf(own, "0b1c"))
	require.Empty(t, nameOf(own, "other"))
	_, ok = mountsOf(host, host)
	require.False(t, ok, "a process of the host has no container's files")
}

func TestParseCgroup(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for text, want := range map[string][2]string{
		"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f6b3c2d_0a1b_4c5d_8e9f_001122334455.slice/cri-containerd-" + id + ".scope\n": {"1f6b3c2d-0a1b-4c5d-8e9f-001122334455", id},
		"12:pids:/\n4:memory:/kubepods/besteffort/pod1f6b3c2d-0a1b-4c5d-8e9f-001122334455/" + id + "\n":                                                  {"1f6b3c2d-0a1b-4c5d-8e9f-001122334455", id},
		"0::/../../kubepods-pod" + strings.Repeat("ab", 16) + ".slice/crio-" + id + ".scope/init.scope\n":                                                {strings.Repeat("ab", 16), id},
		"0::/system.slice/docker-" + id + ".scope\n":                                                                                                     {"", id},
		"0::/system.slice/ssh.service\n": {"", ""},
		"":                               {"", ""},
	} {
		pod, got := parseCgroup(text)
		require.Equal(t, want, [2]string{pod, got}, text)
	}
}

// FuzzParseMounts: no text of a kernel, or of none, ends the agent.
func FuzzParseMounts(f *testing.F) {
	f.Add(ownMounts, hostMounts)
	f.Add(`1 2 3 \04 \400 5 - overlay \ upperdir=\777`, "")
	f.Fuzz(func(t *testing.T, own, host string) {
		mounts, _ := mountsOf(parseMounts(own), parseMounts(host))
		for _, m := range mounts {
			if m.inside != "" && m.inside[0] == '/' {
				_, _ = spotsOf("/a/**/*.log", []mount{m})
			}
		}
		parseCgroup(own)
	})
}
