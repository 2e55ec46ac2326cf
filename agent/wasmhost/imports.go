package wasmhost

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmtail/wasmtail/internal/wasmbin"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// hostFunction is one import on offer. call takes its arguments from the stack
// and leaves its result there.
type hostFunction struct {
	module, name    string
	params, results []api.ValueType
	call            func(in *instance, stack []uint64)
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

func types(t ...api.ValueType) []api.ValueType { return t }

// hostFunctions are all imports, the stub of WASI included. tick is the meter's
// own: a module's file must not import it, and wasmbin sees to that.
var hostFunctions = append([]hostFunction{
	{wasmbin.TickModule, wasmbin.TickName, nil, types(i32), (*instance).tick},
	{abi.ImportModule, abi.ImportLog, types(i32, i32, i32), nil, (*instance).log},
	{abi.ImportModule, abi.ImportLogLevel, nil, types(i32), (*instance).logLevel},
	{abi.ImportModule, abi.ImportCounterAdd, types(i32, i64), nil, (*instance).counterAdd},
	{abi.ImportModule, abi.ImportSpanAttr, types(i32, i32, i32, i32), nil, (*instance).spanAttr},
	{abi.ImportModule, abi.ImportLookup, types(i32, i32, i32, i32, i32), types(i32), (*instance).lookup},
}, wasiFunctions...)

func (f *hostFunction) signature() wasmbin.Signature {
	convert := func(ts []api.ValueType) (out []wasmbin.ValueType) {
		for _, t := range ts {
			out = append(out, wasmbin.ValueType(t))
		}
		return out
	}
	return wasmbin.Signature{Params: convert(f.params), Results: convert(f.results)}
}

// instanceKey finds the instance that calls in the context of its call.
type instanceKey struct{}

// addImports makes the host functions known to a runtime.
func addImports(ctx context.Context, rt wazero.Runtime) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for i := range hostFunctions {
		f := &hostFunctions[i]
		b := builders[f.module]
		if b == nil {
			b = rt.NewHostModuleBuilder(f.module)
			builders[f.module] = b
		}
		call := f.call
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, caller api.Module, stack []uint64) {
			in := ctx.Value(instanceKey{}).(*instance)
			if in.mem == nil { // its start function runs
				in.mem = caller.Memory()
			}
			call(in, stack)
		}), f.params, f.results).Export(f.name)
	}
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("cannot offer the imports of %s: %w", name, err)
		}
	}
	return nil
}

// Reasons for which the host ends a call.
var (
	errDeadline = errors.New("it took longer than its limit")
	errExit     = errors.New("it ended itself")
)

// tick is called when a slice of work is used up: a turn of the host, in which
// the garbage collector may run, and a look at the clock.
func (in *instance) tick(stack []uint64) {
	in.ticks++
	if in.now().After(in.deadline) {
		in.caller.end(errDeadline)
	}
	stack[0] = slice
}

// hostWorkMax is how much work of host functions, in bytes touched, goes between
// two looks at the clock: about as long as a slice.
const hostWorkMax = 1 << 20

// bytes returns a part of the module's memory, valid until the host function
// returns; nil and false if there is no such part. It charges for the work that
// goes with it: the meter does not see what a host function does.
func (in *instance) bytes(ptr, n uint64) ([]byte, bool) {
	const callCost = 256
	if in.hostWork += int(uint32(n)) + callCost; in.hostWork > hostWorkMax {
		in.hostWork = 0
		if in.now().After(in.deadline) {
			in.caller.end(errDeadline)
		}
	}
	return in.mem.Read(uint32(ptr), uint32(n))
}

func (in *instance) log(stack []uint64) {
	if text, ok := in.bytes(stack[1], min(uint64(uint32(stack[2])), abi.LogBytesMax)); ok {
		in.logger.write(in.source(), int32(stack[0]), text)
	}
}

func (in *instance) logLevel(stack []uint64) { stack[0] = uint64(in.logger.level()) }

func (in *instance) counterAdd(stack []uint64) {
	if id, n := uint32(stack[0]), int64(stack[1]); n > 0 && int(id) < len(in.program.Schema.Metrics) {
		in.counters.own[id].Add(n)
	}
}

func (in *instance) spanAttr(stack []uint64) {
	if !in.span.IsRecording() || in.attributes >= abi.SpanAttrsMax {
		return
	}
	key, okKey := in.bytes(stack[0], min(uint64(uint32(stack[1])), abi.SpanKeyBytes))
	value, okValue := in.bytes(stack[2], min(uint64(uint32(stack[3])), abi.SpanValueBytes))
	if okKey && okValue && len(key) > 0 {
		in.attributes++
		in.setAttribute(key, value)
	}
}

func (in *instance) lookup(stack []uint64) {
	const absent = uint64(1<<32 - 1) // -1
	table, out, room := uint32(stack[0]), stack[3], uint32(stack[4])
	key, ok := in.bytes(stack[1], stack[2])
	stack[0] = absent
	if !ok || int(table) >= len(in.program.spec.Tables) {
		return
	}
	value, ok := in.program.spec.Tables[table].find(key)
	if !ok {
		return
	}
	if len(value) <= int(room) {
		dst, ok := in.bytes(out, uint64(len(value)))
		if !ok {
			return
		}
		copy(dst, value)
	}
	stack[0] = uint64(len(value))
}
