package wasmhost

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/wasmtail/wasmtail/sdk/abi"
)

const (
	wasiModule = "wasi_snapshot_preview1"

	// Error numbers of WASI preview 1.
	wasiOK    = 0
	wasiEBADF = 8
	wasiFault = 21
	wasiInval = 28

	// Clocks of WASI preview 1.
	clockRealtime = 0

	// clockStep is how far the monotonic clock moves with each look at it: a
	// module that waits for time to pass sees it pass.
	clockStep = 1000
)

// wasiFunctions are as much of WASI preview 1 as the runtimes of Go, and of C++
// with its library, need to start. There are no files, no environment and no
// clock of its own: the same input gives the same output.
var wasiFunctions = []hostFunction{
	{wasiModule, "args_get", types(i32, i32), types(i32), wasiFine},
	{wasiModule, "args_sizes_get", types(i32, i32), types(i32), (*instance).wasiNone},
	{wasiModule, "environ_get", types(i32, i32), types(i32), wasiFine},
	{wasiModule, "environ_sizes_get", types(i32, i32), types(i32), (*instance).wasiNone},
	{wasiModule, "clock_res_get", types(i32, i32), types(i32), (*instance).wasiClockRes},
	{wasiModule, "clock_time_get", types(i32, i64, i32), types(i32), (*instance).wasiClock},
	{wasiModule, "random_get", types(i32, i32), types(i32), (*instance).wasiRandom},
	{wasiModule, "sched_yield", nil, types(i32), wasiFine},
	{wasiModule, "poll_oneoff", types(i32, i32, i32, i32), types(i32), (*instance).wasiPoll},
	{wasiModule, "proc_exit", types(i32), nil, func(in *instance, _ []uint64) { in.caller.end(errExit) }},
	{wasiModule, "fd_write", types(i32, i32, i32, i32), types(i32), (*instance).wasiWrite},
	{wasiModule, "fd_close", types(i32), types(i32), wasiBadFile},
	{wasiModule, "fd_seek", types(i32, i64, i32, i32), types(i32), wasiBadFile},
	{wasiModule, "fd_read", types(i32, i32, i32, i32), types(i32), wasiBadFile},
	{wasiModule, "fd_fdstat_get", types(i32, i32), types(i32), wasiBadFile},
	{wasiModule, "fd_fdstat_set_flags", types(i32, i32), types(i32), wasiBadFile},
	{wasiModule, "fd_prestat_get", types(i32, i32), types(i32), wasiBadFile},
	{wasiModule, "fd_prestat_dir_name", types(i32, i32, i32), types(i32), wasiBadFile},
}

func wasiFine(_ *instance, stack []uint64)    { stack[0] = wasiOK }
func wasiBadFile(_ *instance, stack []uint64) { stack[0] = wasiEBADF }

// wasiNone answers that there are no arguments, and no environment.
func (in *instance) wasiNone(stack []uint64) {
	ok := in.mem.WriteUint32Le(uint32(stack[0]), 0) && in.mem.WriteUint32Le(uint32(stack[1]), 0)
	stack[0] = wasiStatus(ok)
}

func wasiStatus(ok bool) uint64 {
	if ok {
		return wasiOK
	}
	return wasiFault
}

func (in *instance) wasiClockRes(stack []uint64) {
	stack[0] = wasiStatus(in.mem.WriteUint64Le(uint32(stack[1]), clockStep))
}

// wasiClock tells the time of the batch, or a counter for the other clocks.
func (in *instance) wasiClock(stack []uint64) {
	t := uint64(in.batchNow)
	if uint32(stack[0]) != clockRealtime {
		in.monotonic += clockStep
		t = in.monotonic
	}
	stack[0] = wasiStatus(in.mem.WriteUint64Le(uint32(stack[2]), t))
}

// wasiRandom gives numbers that depend on the module only.
func (in *instance) wasiRandom(stack []uint64) {
	p, ok := in.bytes(stack[0], stack[1])
	stack[0] = wasiStatus(ok)
	if ok && in.random == nil {
		var seed [32]byte
		copy(seed[:], in.program.SHA256)
		in.random = rand.NewChaCha8(seed)
	}
	if ok {
		_, _ = in.random.Read(p) // never fails
	}
}

// wasiPoll answers every wait at once: a clock that was waited for has moved on.
func (in *instance) wasiPoll(stack []uint64) {
	const subscriptionBytes, eventBytes = 48, 32
	subs, events, n, result := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	stack[0] = wasiInval
	if n == 0 || n > 64 {
		return
	}
	for i := range n {
		sub, ok := in.mem.Read(subs+i*subscriptionBytes, subscriptionBytes)
		if !ok {
			stack[0] = wasiFault
			return
		}
		event := make([]byte, eventBytes)
		copy(event[:8], sub[:8]) // its user data
		event[10] = sub[8]       // what it waited for
		if wait := binary.LittleEndian.Uint64(sub[24:]); sub[8] == 0 && binary.LittleEndian.Uint16(sub[40:])&1 == 0 {
			in.monotonic += min(wait, 1<<40)
		}
		if !in.mem.Write(events+i*eventBytes, event) {
			stack[0] = wasiFault
			return
		}
	}
	stack[0] = wasiStatus(in.mem.WriteUint32Le(result, n))
}

// wasiWrite takes what is written to standard output and error into the log.
func (in *instance) wasiWrite(stack []uint64) {
	fd, vectors, n, result := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), uint32(stack[3])
	level := int32(abi.LogInfo)
	switch fd {
	case 1:
	case 2:
		level = abi.LogWarn
	default:
		stack[0] = wasiEBADF
		return
	}
	total := uint32(0)
	var text []byte
	for i := range min(n, 64) {
		v, ok := in.mem.Read(vectors+i*8, 8)
		if !ok {
			stack[0] = wasiFault
			return
		}
		size := binary.LittleEndian.Uint32(v[4:])
		part, ok := in.bytes(uint64(binary.LittleEndian.Uint32(v)), uint64(min(size, abi.LogBytesMax)))
		if !ok {
			stack[0] = wasiFault
			return
		}
		total += size
		text = append(text, part...)
	}
	in.logger.write(in.source(), level, text[:min(len(text), abi.LogBytesMax)])
	stack[0] = wasiStatus(in.mem.WriteUint32Le(result, total))
}
