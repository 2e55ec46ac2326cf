package wt

import "unsafe"

// Levels of Log.
const (
	LogDebug = iota
	LogInfo
	LogWarn
	LogError
)

func start(p []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p)) }

func size(p []byte) uint32 { return uint32(len(p)) } // lengths of a module have 32 bits

// Log writes to the agent's log: at most 1024 bytes, at a limited rate.
func Log(level uint32, text []byte) { hostLog(level, start(text), size(text)) }

// LogLevel is the lowest level that is kept: below it, save the work.
func LogLevel() uint32 { return hostLogLevel() }

// CounterAdd adds n, not negative, to the metric that Setup.Metric returned as id.
func CounterAdd(id uint32, n int64) { hostCounterAdd(id, n) }

// SpanAttr sets an attribute of the trace span of this batch: at most 16, of 64
// bytes of key and 256 of value.
func SpanAttr(key, value []byte) { hostSpanAttr(start(key), size(key), start(value), size(value)) }

// Lookup finds key in a table of the agent's configuration, by its place there,
// and returns the value in the arena. False when it is absent.
func Lookup(table uint32, key []byte) (value []byte, ok bool) {
	room := min(256, arenaBytes-guest.used, guest.room) // most values are shorter
	for range 2 {
		p := Arena(room)
		if p == nil {
			return nil, false
		}
		n := int(hostLookup(table, unsafe.String(unsafe.SliceData(key), len(key)), start(p), size(p)))
		if n >= 0 && n <= room {
			return Shrink(p, n), true
		}
		Shrink(p, 0)
		if n < 0 {
			return nil, false
		}
		room = n
	}
	return nil, false
}
