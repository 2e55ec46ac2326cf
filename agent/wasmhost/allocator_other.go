//go:build !unix

package wasmhost

import "github.com/tetratelabs/wazero/experimental"

// reserve allocates linear memories on Go's heap.
func reserve(_, _ uint64) experimental.LinearMemory { return &heapMemory{} }
