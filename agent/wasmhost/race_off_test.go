//go:build !race

package wasmhost

const slowly = 1
