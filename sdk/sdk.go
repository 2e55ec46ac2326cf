// Package sdk holds the files of the SDKs that are one file a language, so that a
// program can write them beside a new parser. It starts nothing and keeps nothing.
package sdk

import "embed"

// Files has one file a language: c/wt.h, cpp/wt.hpp, rust/wt.rs and
// assemblyscript/wt.ts. It is read only, and safe for concurrent use.
//
//go:embed c/wt.h cpp/wt.hpp rust/wt.rs assemblyscript/wt.ts
var Files embed.FS
