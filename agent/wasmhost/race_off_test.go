//go:build !race

package wasmhost

import "testing"

const slowly = 1

func onlyInFull(testing.TB) {}
