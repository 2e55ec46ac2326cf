package wasmhost

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/wasmtail/wasmtail/sdk/abi"
)

// A module may write that many messages into the agent's log.
const (
	logRate  = 10
	logBurst = 50
)

// guestLog writes what a module has to say into the agent's log, at a limited
// rate. Safe for concurrent use.
type guestLog struct {
	log logrus.FieldLogger
	now func() time.Time

	mu      sync.Mutex
	limiter *rate.Limiter
	dropped int64
}

func newGuestLog(log logrus.FieldLogger, now func() time.Time) *guestLog {
	return &guestLog{log: log, now: now, limiter: rate.NewLimiter(logRate, logBurst)}
}

// level is the lowest that is kept.
func (g *guestLog) level() int32 {
	logger := g.log.WithFields(nil).Logger
	switch {
	case logger.IsLevelEnabled(logrus.DebugLevel):
		return abi.LogDebug
	case logger.IsLevelEnabled(logrus.InfoLevel):
		return abi.LogInfo
	case logger.IsLevelEnabled(logrus.WarnLevel):
		return abi.LogWarn
	}
	return abi.LogError
}

func (g *guestLog) write(source string, level int32, text []byte) {
	if level < g.level() {
		return
	}
	g.mu.Lock()
	allowed, dropped := g.limiter.AllowN(g.now(), 1), g.dropped
	if allowed {
		g.dropped = 0
	} else {
		g.dropped++
	}
	g.mu.Unlock()
	if !allowed {
		return
	}
	entry := g.log.WithField("module", source)
	if dropped > 0 {
		entry = entry.WithField("messages_left_out", dropped)
	}
	switch message := printable(text); {
	case level <= abi.LogDebug:
		entry.Debug(message)
	case level == abi.LogInfo:
		entry.Info(message)
	case level == abi.LogWarn:
		entry.Warn(message)
	default:
		entry.Error(message)
	}
}

// fault reports a lost instance, at the same limited rate.
func (g *guestLog) fault(kind faultKind, why error) {
	g.write(kind.String(), abi.LogWarn, []byte("a module's instance was lost and is replaced: "+why.Error()))
}
