// Package houserules holds the rules of the source tree as tests: which package
// may import which, how long a function may be, which words stay out. It has no
// code for the program.
//
// The tests parse the files themselves. They promise no more than a parser can
// see: types are not resolved.
package houserules
