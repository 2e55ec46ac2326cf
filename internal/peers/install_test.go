//go:build linux && peers

package peers

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cacheDir holds the other programs between runs.
func cacheDir(t *testing.T) string {
	t.Helper()
	root, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(root, "wasmtail-peers")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

// debianPackages are rsyslog and syslog-ng with the libraries that a small
// installation lacks. All parsers and outputs used here are in them.
var debianPackages = []string{
	"rsyslog", "libestr0", "libfastjson4", "liblognorm5",
	"syslog-ng-core", "libivykis0", "libnet1", "libpcre3", "libwrap0",
}

// debian unpacks the packages of the Debian that this runs on. They are not
// installed, because each of the two conflicts with the other, and a machine
// that compares them need not run them.
type debian struct{ root string }

func openDebian(t *testing.T) debian {
	t.Helper()
	d := debian{root: filepath.Join(cacheDir(t), "debian")}
	if _, err := os.Stat(d.root); err == nil {
		return d
	}
	t.Logf("unpacking %s into %s", strings.Join(debianPackages, " "), d.root)
	fresh, err := os.MkdirTemp(filepath.Dir(d.root), "unpack")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(fresh) })
	run(t, fresh, "apt-get", append([]string{"-o", "APT::Sandbox::User=root", "download"}, debianPackages...)...)
	archives, err := filepath.Glob(filepath.Join(fresh, "*.deb"))
	require.NoError(t, err)
	for _, archive := range archives {
		run(t, fresh, "dpkg-deb", "-x", archive, "root")
	}
	require.NoError(t, os.Rename(filepath.Join(fresh, "root"), d.root))
	return d
}

func (d debian) path(parts ...string) string {
	return filepath.Join(append([]string{d.root}, parts...)...)
}

// env lets the unpacked programs find their libraries.
func (d debian) env(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/syslog-ng"} {
		found, err := filepath.Glob(d.path(pattern))
		require.NoError(t, err)
		dirs = append(dirs, found...)
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}

// modules is the folder that holds a module of one of the programs.
func (d debian) modules(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(d.path(pattern))
	require.NoError(t, err)
	require.NotEmpty(t, found, pattern)
	return filepath.Dir(found[0])
}

//go:embed collector-builder.yaml
var collectorParts []byte

const collectorBuilder = "go.opentelemetry.io/collector/cmd/builder@v0.149.0"

// collectorPath builds the collector, once for each list of parts and version
// of Go. It takes minutes.
func collectorPath(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256(slices.Concat(collectorParts, []byte(collectorBuilder+runtime.Version())))
	path := filepath.Join(cacheDir(t), fmt.Sprintf("collector-%x", sum[:6]))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	t.Logf("building %s", path)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "builder.yaml"), collectorParts, 0o600))
	run(t, dir, "nice", "go", "run", collectorBuilder, "--config", "builder.yaml")
	run(t, dir, "cp", filepath.Join(dir, "dist", "collector"), path+".new")
	require.NoError(t, os.Rename(path+".new", path))
	return path
}
