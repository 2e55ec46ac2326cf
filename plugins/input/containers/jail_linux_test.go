package containers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// jail is a process that lives as one of a container does: in a mount namespace of its
// own, whose root is an overlay, with folders of the host mounted into it. It does to
// its files what it is told.
type jail struct {
	t       *testing.T
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Scanner
}

// jailSpec says how a jail is made. The folders are made if they are not there.
type jailSpec struct {
	Layer string      // has the overlay's folders: lower, diff, work, merged
	Binds [][2]string // a folder or file of the host, and where it is inside
	// Rootless says that it is made in a user namespace.
	Rootless bool
}

// order is what a jail is told: to append to a file, to rename one, or to make a
// symbolic link.
type order struct{ Do, Path, Text string }

const jailVariable = "WASMTAIL_TEST_JAIL"

func TestMain(m *testing.M) {
	if spec := os.Getenv(jailVariable); spec != "" {
		if err := inJail(spec); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "jail:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// newJail starts a jail. Where that is not allowed the test fails: what it is to show
// would not be shown.
func newJail(t *testing.T, spec jailSpec) *jail {
	t.Helper()
	for _, dir := range []string{"lower", "diff", "work", "merged"} {
		require.NoError(t, os.MkdirAll(filepath.Join(spec.Layer, dir), 0o755))
	}
	spec.Rootless = os.Geteuid() != 0
	text, err := json.Marshal(spec)
	require.NoError(t, err)
	j := &jail{t: t, cmd: exec.Command(os.Args[0])}
	j.cmd.Env = append(os.Environ(), jailVariable+"="+string(text))
	j.cmd.Stderr = os.Stderr
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if spec.Rootless {
		j.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		j.cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		j.cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	j.orders, err = j.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := j.cmd.StdoutPipe()
	require.NoError(t, err)
	j.answers = bufio.NewScanner(out)
	require.NoError(t, j.cmd.Start(), "this test needs root, or user namespaces for everybody (sysctl kernel.unprivileged_userns_clone=1)")
	t.Cleanup(j.kill)
	require.True(t, j.answers.Scan() && j.answers.Text() == "ok", "this test needs a kernel with overlayfs, and the right to mount")
	return j
}

func (j *jail) pid() int { return j.cmd.Process.Pid }

func (j *jail) kill() {
	_ = j.cmd.Process.Kill()
	_ = j.cmd.Wait()
}

func (j *jail) do(what, path, text string) {
	j.t.Helper()
	line, err := json.Marshal(order{what, path, text})
	require.NoError(j.t, err)
	_, err = j.orders.Write(append(line, '\n'))
	require.NoError(j.t, err)
	require.True(j.t, j.answers.Scan(), "the jail has ended")
	require.Equal(j.t, "ok", j.answers.Text(), "%s %s", what, path)
}

func (j *jail) append(path, text string) {
	j.t.Helper()
	j.do("append", path, text)
}

// inProc copies what the kernel says of the jail's mounts to a folder like /proc, with
// a cgroup as the kubelet makes them.
func (j *jail) inProc(dir, cgroup string) {
	j.t.Helper()
	own := filepath.Join(dir, strconv.Itoa(j.pid()))
	require.NoError(j.t, os.MkdirAll(own, 0o755))
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", j.pid()))
	require.NoError(j.t, err)
	require.NoError(j.t, os.WriteFile(filepath.Join(own, "mountinfo"), mounts, 0o600))
	require.NoError(j.t, os.WriteFile(filepath.Join(own, "cgroup"), []byte("0::"+cgroup+"\n"), 0o600))
}

func inJail(text string) error {
	var spec jailSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	if err := enterJail(spec); err != nil {
		return err
	}
	fmt.Println("ok")
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 64<<20)
	for orders.Scan() {
		var o order
		err := json.Unmarshal(orders.Bytes(), &o)
		if err == nil {
			err = o.obey()
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("ok")
	}
	return orders.Err()
}

func enterJail(spec jailSpec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	in := func(name string) string { return filepath.Join(spec.Layer, name) }
	options := "lowerdir=" + in("lower") + ",upperdir=" + in("diff") + ",workdir=" + in("work")
	if spec.Rootless {
		options += ",userxattr"
	}
	if err := unix.Mount("overlay", in("merged"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay: %w", err)
	}
	for _, b := range spec.Binds {
		to := filepath.Join(in("merged"), b[1])
		info, err := os.Stat(b[0])
		if err == nil && info.IsDir() {
			err = os.MkdirAll(to, 0o755)
		} else if err == nil {
			if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
				err = os.WriteFile(to, nil, 0o600)
			}
		}
		if err == nil {
			err = unix.Mount(b[0], to, "", unix.MS_BIND, "")
		}
		if err != nil {
			return fmt.Errorf("mount %s: %w", b[0], err)
		}
	}
	if err := unix.Chdir(in("merged")); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

func (o *order) obey() error {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		return err
	}
	switch o.Do {
	case "append":
		f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if _, err = f.WriteString(o.Text); err != nil {
			return err
		}
		return f.Close()
	case "rename":
		return os.Rename(o.Path, o.Text)
	case "link":
		return os.Symlink(o.Text, o.Path)
	}
	return fmt.Errorf("no such order: %s", o.Do)
}
