package telemetry

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/term"
)

// LogOptions choose what the log looks like.
type LogOptions struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is auto (text on a terminal, JSON otherwise), text or json.
	Format string
	// Out is where it goes; nil is standard error.
	Out io.Writer
}

// NewLogger returns a logger that writes no message more often than
// burstMax times in burstTime: what is held back is counted and said once.
// Safe for concurrent use; it starts no goroutine.
func NewLogger(o LogOptions) (*logrus.Logger, error) {
	log := logrus.New()
	log.SetOutput(os.Stderr)
	if o.Out != nil {
		log.SetOutput(o.Out)
	}
	if o.Level != "" {
		level, err := logrus.ParseLevel(o.Level)
		if err != nil {
			return nil, fmt.Errorf("cannot set log level %q: use debug, info, warn or error", o.Level)
		}
		log.SetLevel(level)
	}
	var f logrus.Formatter
	switch {
	case o.Format == "text" || (o.Format == "" || o.Format == "auto") && IsTerminal(log.Out):
		f = &logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "15:04:05.000"}
	case o.Format == "json", o.Format == "", o.Format == "auto":
		f = &logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano}
	default:
		return nil, fmt.Errorf("cannot set log format %q: use auto, text or json", o.Format)
	}
	log.SetFormatter(&limiter{next: f, seen: map[string]*burst{}})
	return log, nil
}

// IsTerminal reports whether text for people may be written to w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}

const (
	burstMax  = 10
	burstTime = 10 * time.Second
	// messagesMax bounds the memory of messages seen: past it all start anew.
	messagesMax = 1000
)

// limiter is a formatter that formats a message that comes too often to nothing.
type limiter struct {
	next logrus.Formatter

	mu   sync.Mutex
	seen map[string]*burst
}

type burst struct {
	since   time.Time
	n, held int
}

// Format implements logrus.Formatter.
func (l *limiter) Format(e *logrus.Entry) ([]byte, error) {
	held, pass := l.admit(e)
	if !pass {
		return nil, nil
	}
	if held > 0 {
		e = e.WithField("held_back", held)
	}
	return l.next.Format(e)
}

func (l *limiter) admit(e *logrus.Entry) (held int, pass bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.seen[e.Message]
	if b == nil {
		if len(l.seen) >= messagesMax {
			clear(l.seen)
		}
		b = &burst{since: e.Time}
		l.seen[e.Message] = b
	}
	if e.Time.Sub(b.since) >= burstTime {
		held = b.held
		*b = burst{since: e.Time}
	}
	b.n++
	if b.n > burstMax {
		b.held++
		return 0, false
	}
	return held, true
}
