//go:build wasip1

package wt

import "unsafe"

//go:wasmimport wt log
func hostLog(level uint32, p unsafe.Pointer, n uint32)

//go:wasmimport wt log_level
func hostLogLevel() uint32

//go:wasmimport wt counter_add
func hostCounterAdd(id uint32, n int64)

//go:wasmimport wt span_attr
func hostSpanAttr(k unsafe.Pointer, kn uint32, v unsafe.Pointer, vn uint32)

// A string is an address and a length.
//
//go:wasmimport wt lookup
func hostLookup(table uint32, key string, out unsafe.Pointer, room uint32) int32

//go:wasmexport wt_abi_1
func exportABI() uint32 { return 0 }

// exportAlloc makes a region for the agent, aligned to 8, and keeps it.
//
//go:wasmexport wt_alloc
func exportAlloc(size uint32) unsafe.Pointer {
	const most = 0x7fff0000
	if size > most {
		return nil
	}
	p := make([]uint64, size/8+1)
	region := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p))), int(size))
	guest.regions = append(guest.regions, region)
	return unsafe.Pointer(unsafe.SliceData(p))
}

//go:wasmexport wt_init
func exportInit(config unsafe.Pointer, n uint32) unsafe.Pointer {
	return initialize(unsafe.Slice((*byte)(config), int(n)))
}

//go:wasmexport wt_process
func exportProcess(batch unsafe.Pointer, _ uint32) unsafe.Pointer { return process(batch) }
