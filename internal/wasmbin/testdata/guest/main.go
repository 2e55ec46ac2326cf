// Command guest is a library for tests: it hashes, allocates, recurses, formats
// and matches, so that its result depends on most of what a Go runtime does.
package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"sort"
	"strings"
)

func main() {}

var words = regexp.MustCompile(`\b[a-z]+\b`)

//go:wasmexport work
func work(rounds int32) int64 {
	h := fnv.New64a()
	counts := map[string]int{}
	for i := range rounds {
		text := strings.Repeat(fmt.Sprintf("line %d of a log ", i), 3)
		for _, w := range words.FindAllString(text, -1) {
			counts[w] += fib(int(i) % 12)
		}
		buf := make([]byte, 4096)
		copy(buf[1024:], text)
		h.Write(buf)
	}
	keys := make([]string, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	data, err := json.Marshal(counts)
	if err != nil {
		return -1
	}
	h.Write(data)
	fmt.Fprintln(h, keys)
	return int64(h.Sum64())
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

//go:wasmexport bytes
func bytes(n int32) int32 {
	buf := make([]byte, 1<<16)
	for i := range buf {
		buf[i] = byte(i * 7)
	}
	sum := int32(0)
	for range n {
		for _, b := range buf {
			if b == ' ' {
				sum++
			}
		}
	}
	return sum
}
