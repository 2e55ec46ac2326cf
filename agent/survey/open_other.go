//go:build !unix

package survey

const openFlags = 0
