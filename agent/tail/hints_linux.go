package tail

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// hintPause is how long events may gather after some were taken: the kernel
// merges equal ones, and a storm of rotations costs one scan per pause.
const hintPause = 50 * time.Millisecond

// hints tells the watch goroutine which directories have changed. It asks the
// kernel only about names that come and go, not about writes: a busy file costs
// no events. Hints may be missing, late or too many; nothing depends on them but
// the delay.
type hints struct {
	file *os.File // nil without inotify
	wake chan<- struct{}

	mu       sync.Mutex
	watches  map[int32]string // by watch descriptor
	dirty    map[string]bool
	overflow bool
}

func newHints(wake chan<- struct{}) *hints {
	h := &hints{wake: wake, watches: map[int32]string{}, dirty: map[string]bool{}}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err == nil {
		h.file = os.NewFile(uintptr(fd), "inotify")
	}
	return h
}

// watch asks for hints about dir. The error says that there will be none.
func (h *hints) watch(dir string) (int32, error) {
	if h.file == nil {
		return -1, errors.New("inotify is not available")
	}
	const mask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	raw, err := h.file.SyscallConn()
	if err != nil {
		return -1, err
	}
	var wd int
	var watchErr error
	err = raw.Control(func(fd uintptr) { wd, watchErr = unix.InotifyAddWatch(int(fd), dir, mask) })
	if err = errors.Join(err, watchErr); err != nil {
		return -1, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches[int32(wd)] = dir
	return int32(wd), nil
}

func (h *hints) unwatch(wd int32) {
	if h.file == nil || wd < 0 {
		return
	}
	h.mu.Lock()
	delete(h.watches, wd)
	h.mu.Unlock()
	raw, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) })
}

// take calls each for every directory with hints; all says to look everywhere.
func (h *hints) take(each func(dir string)) (all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for dir := range h.dirty {
		each(dir)
	}
	clear(h.dirty)
	all, h.overflow = h.overflow, false
	return all
}

// run drains events until ctx ends.
func (h *hints) run(ctx context.Context) {
	if h.file == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = h.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 64<<10)
	pause := time.NewTimer(hintPause)
	defer pause.Stop()
	for {
		n, err := h.file.Read(buf)
		if err != nil {
			return // the end of ctx; on any other error the periodic scans go on alone
		}
		if h.note(buf[:n]) {
			select {
			case h.wake <- struct{}{}:
			default:
			}
		}
		pause.Reset(hintPause)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// note remembers which directories events are about.
func (h *hints) note(buf []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint32(buf[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		if size > len(buf) {
			break
		}
		buf = buf[size:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			h.overflow = true
		}
		if dir, ok := h.watches[wd]; ok {
			h.dirty[dir] = true
		}
		if mask&unix.IN_IGNORED != 0 {
			delete(h.watches, wd)
		}
	}
	return h.overflow || len(h.dirty) > 0
}

func (h *hints) close() {
	if h.file != nil {
		_ = h.file.Close()
	}
}
