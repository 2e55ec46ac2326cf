package wasmhost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/wasmtail/wasmtail/internal/wasmbin"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

const (
	batchHead  = abi.BatchSize
	eventBytes = abi.EventSize
)

// instance is one running copy of a program. It belongs to one goroutine. After
// a fault it must be closed and never called again.
type instance struct {
	program *Program
	module  api.Module
	mem     api.Memory
	process func() error // calls the export, with the arguments in stack
	caller  caller
	fuel    api.Global
	ctx     context.Context // carries this instance to the host functions

	region      uint32 // where the input goes
	regionBytes int
	stack       [2]uint64
	seq         uint64
	streams     map[uint64]bool // sources it has seen

	// What belongs to the call at hand.
	now        func() time.Time
	deadline   time.Time
	batchNow   int64
	ticks      uint64
	monotonic  uint64
	hostWork   int
	span       trace.Span
	attributes int

	random   *rand.ChaCha8
	logger   *guestLog
	counters *counters
}

// streamsMax bounds what an instance remembers of sources. Beyond it they are
// introduced again.
const streamsMax = 4096

// instantiate starts a copy of the program.
func (p *Program) instantiate() (in *instance, err error) {
	in = &instance{
		program: p, now: time.Now, streams: map[uint64]bool{}, span: noop.Span{},
		logger: p.spec.logger, counters: p.spec.counters, batchNow: p.now(),
	}
	in.ctx = context.WithValue(context.Background(), instanceKey{}, in)
	in.deadline = in.now().Add(p.spec.Limits.InitTime)
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	ctx := experimental.WithMemoryAllocator(in.ctx, experimental.MemoryAllocatorFunc(reserve))
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	err = in.caller.run(func() (err error) { // its start function runs
		in.module, err = p.rt.InstantiateModule(ctx, p.code, config)
		return err
	})
	if err != nil {
		return in, fmt.Errorf("cannot start it: %w", in.explain(err))
	}
	in.mem = in.module.Memory()
	process := in.module.ExportedFunction(abi.ExportProcess)
	in.process = func() error { return process.CallWithStack(in.ctx, in.stack[:]) }
	in.fuel = in.module.ExportedGlobal(wasmbin.FuelName)
	if in.module.ExportedFunction(abi.ExportInitialize) != nil {
		if _, err := in.call(abi.ExportInitialize); err != nil {
			return in, err
		}
	}
	return in, in.init()
}

// init runs the module's own start: its version, its input region, its
// configuration.
func (in *instance) init() error {
	minor, err := in.call(abi.ExportABI)
	if err != nil {
		return err
	}
	if minor > abi.Minor {
		return fmt.Errorf("it needs ABI %d.%d, this agent has %d.%d; update the agent", abi.Version, minor, abi.Version, abi.Minor)
	}
	in.regionBytes = max(in.program.spec.Limits.regionBytes(), align8(len(in.program.config)))
	region, err := in.call(abi.ExportAlloc, uint64(in.regionBytes))
	if err != nil {
		return err
	}
	in.region = uint32(region)
	if region == 0 || region%8 != 0 || region+uint64(in.regionBytes) > uint64(in.mem.Size()) {
		return fmt.Errorf("its %s gave no room for %d bytes of input; raise limits.memory, or lower limits.line", abi.ExportAlloc, in.regionBytes)
	}
	if !in.mem.Write(in.region, in.program.config) {
		return errors.New("cannot write its configuration")
	}
	at, err := in.call(abi.ExportInit, region, uint64(len(in.program.config)))
	if err != nil {
		return err
	}
	return in.readInfo(uint32(at))
}

// call calls an export outside of the data path, and returns its result.
func (in *instance) call(name string, params ...uint64) (uint64, error) {
	var out []uint64
	err := in.caller.run(func() (err error) {
		out, err = in.module.ExportedFunction(name).Call(in.ctx, params...)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("its %s failed: %w", name, in.explain(err))
	}
	if len(out) == 0 {
		return 0, nil
	}
	return uint64(uint32(out[0])), nil
}

// readInfo takes what the module says of itself.
func (in *instance) readInfo(at uint32) error {
	info, ok := in.mem.Read(at, abi.InfoSize)
	if !ok || at == 0 {
		return fmt.Errorf("its %s returned no address of its description", abi.ExportInit)
	}
	word := func(off int) uint32 { return binary.LittleEndian.Uint32(info[off:]) }
	if size := word(abi.InfoOffSize); size < abi.InfoSize {
		return fmt.Errorf("its description is %d bytes, want %d", size, abi.InfoSize)
	}
	if word(abi.InfoOffStatus) != 0 {
		reason := "without a reason"
		if msg, ok := in.mem.Read(word(abi.InfoOffMsg), min(word(abi.InfoOffMsgLen), abi.MsgBytesMax)); ok && len(msg) > 0 {
			reason = printable(msg)
		}
		return fmt.Errorf("it refuses its configuration: %s", reason)
	}
	if n := word(abi.InfoOffSchemaLen); n > abi.SchemaBytesMax {
		return fmt.Errorf("its schema has %d bytes, at most %d are allowed", n, abi.SchemaBytesMax)
	}
	text, ok := in.mem.Read(word(abi.InfoOffSchema), word(abi.InfoOffSchemaLen))
	if !ok {
		return errors.New("its schema lies outside of its memory")
	}
	return in.program.learn(word(abi.InfoOffCaps), int(word(abi.InfoOffWanted)), text)
}

// source names the module in messages.
func (in *instance) source() string { return in.program.source }

func (in *instance) setAttribute(key, value []byte) {
	in.span.SetAttributes(attribute.String("wasm."+strings.ToValidUTF8(string(key), "\uFFFD"), strings.ToValidUTF8(string(value), "\uFFFD")))
}

// nearFull reports whether the instance should be replaced before its memory is
// used up: modules that leak are served all the same.
func (in *instance) nearFull() bool {
	return int64(in.mem.Size()) > in.program.spec.Limits.Memory/4*3
}

// close frees the instance. It tells the module only when it has done no wrong.
func (in *instance) close() {
	in.caller.close()
	if in.module != nil {
		_ = in.module.Close(context.Background())
		in.module = nil
	}
}

// retire closes an instance in good order.
func (in *instance) retire() {
	if in.module.ExportedFunction(abi.ExportClose) != nil {
		in.deadline = in.now().Add(in.program.spec.Limits.Time)
		_, _ = in.call(abi.ExportClose) // it ends in any case
	}
	in.close()
}

// stackUsedUp reports whether the meter has ended a recursion.
func (in *instance) stackUsedUp() bool {
	return in.module != nil && int32(in.module.ExportedGlobal(wasmbin.StackName).Get()) < 0
}

// explain turns what the runtime says of an end into words for operators, and
// marks it with its kind.
func (in *instance) explain(err error) *fault {
	text := err.Error()
	switch {
	case errors.Is(err, errDeadline):
		return &fault{kind: faultDeadline, err: errDeadline}
	case errors.Is(err, errExit):
		return &fault{kind: faultTrap, err: errExit}
	case strings.Contains(text, "stack overflow"), in.stackUsedUp():
		return &fault{kind: faultStack, err: errors.New("its functions call each other without end")}
	}
	text, _, _ = strings.Cut(text, "\n") // the stack trace names functions by numbers
	return &fault{kind: faultTrap, err: errors.New(strings.TrimPrefix(text, "wasm error: "))}
}
