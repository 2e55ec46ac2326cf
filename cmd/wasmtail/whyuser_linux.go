package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// stateOwner returns who the agent of a state folder runs as.
func stateOwner(dataDir string) (*stateUser, error) {
	u := &stateUser{uid: os.Getuid(), gid: os.Getgid(), isSelf: true}
	info, err := os.Stat(dataDir)
	switch st, ok := sysStat(info); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("cannot tell whose %s is: %w", dataDir, err)
	case ok && int(st.Uid) != u.uid:
		u.uid, u.gid, u.isSelf = int(st.Uid), int(st.Gid), false
	}
	u.name = "user " + strconv.Itoa(u.uid)
	if known, err := user.LookupId(strconv.Itoa(u.uid)); err == nil {
		u.name = known.Username
	}
	return u, nil
}

func sysStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}

// tryReading tries to read a file as that user. The error is errOtherUser if this
// process may not be that user.
func (u *stateUser) tryReading(path string) (closed string, err error) {
	if u.isSelf {
		return reading(path)
	}
	if os.Getuid() != 0 {
		return "", errOtherUser
	}
	if err := unix.Setgroups(u.groups()); err != nil {
		return "", fmt.Errorf("%w: %w", errOtherUser, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		_, _ = unix.SetfsgidRetGid(u.gid)
		_, _ = unix.SetfsuidRetUid(u.uid)
		if uid, _ := unix.SetfsuidRetUid(u.uid); uid != u.uid { // it says what is set
			err = errOtherUser
			return
		}
		closed, err = reading(path)
	}()
	<-done
	return closed, err
}

// groups are those that the user belongs to.
func (u *stateUser) groups() []int {
	list := []int{u.gid}
	known, err := user.LookupId(strconv.Itoa(u.uid))
	if err != nil {
		return list
	}
	ids, err := known.GroupIds()
	if err != nil {
		return list
	}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			list = append(list, n)
		}
	}
	return list
}
