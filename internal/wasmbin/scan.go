package wasmbin

import (
	"bytes"
	"fmt"
	"slices"
)

// The numbers of sections, 5.5.2.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionCount

	sectionTag = 13 // exceptions
)

var sectionNames = [...]string{
	"custom", "type", "import", "function", "table", "memory", "global",
	"export", "start", "element", "code", "data", "data count",
}

// sectionOrder lists the sections as they follow each other in a module, 5.5.16.
var sectionOrder = [...]byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory,
	sectionGlobal, sectionExport, sectionStart, sectionElement,
	sectionDataCount, sectionCode, sectionData,
}

// Scan reads a core module and checks it against the limits. What it returns
// keeps bin, which must not be changed as long as the module is used.
//
// It returns a *Refusal for a module that must not run, and an error of another
// type for limits that are out of range.
func Scan(bin []byte, l Limits) (*Module, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	s := &scanner{m: &Module{bin: bin, limits: l, MemoryMax: 1 << 16}, bin: bin, function: -1}
	s.run()
	if s.refusal != nil {
		s.refusal.FunctionName = s.nameOf(s.refusal.Function)
		return nil, s.refusal
	}
	return s.m, nil
}

// scanner reads a module from front to back. After the first refusal it reads
// nothing more: all numbers are 0 and all loops end.
type scanner struct {
	m       *Module
	bin     []byte
	pos     int
	end     int // of the section that is read, or of a part of it
	section string
	// function is the index of the function that is read, or -1.
	function int
	refusal  *Refusal
	// typeOf is the type of each function, imported ones first.
	typeOf           []uint32
	tables, memories uint32
	hasMemoryExport  bool
	hasDataCount     bool
	dataCount        uint32
}

// refuse records the first problem and ends the reading.
func (s *scanner) refuse(at int, problem, remedy string) {
	if s.refusal == nil {
		s.refusal = &Refusal{Section: s.section, Function: s.function, Offset: at, Problem: problem, Remedy: remedy}
	}
	s.pos = s.end
}

func (s *scanner) damaged(at int, what string) {
	s.refuse(at, what, remedyDamaged)
}

// within refuses a measure above its limit.
func (s *scanner) within(used uint64, limit int, what string) bool {
	if used <= uint64(limit) {
		return true
	}
	s.refuse(s.pos, fmt.Sprintf("it has %d %s, the limit is %d", used, what, limit), remedyLimit)
	return false
}

func (s *scanner) run() {
	s.end = len(s.bin)
	s.m.used.file = uint64(len(s.bin))
	if !s.within(s.m.used.file, s.m.limits.FileBytes, "bytes") || !s.header() {
		return
	}
	previous := -1
	for s.pos < len(s.bin) && s.refusal == nil {
		previous = s.nextSection(previous)
	}
	s.end = len(s.bin)
	if s.refusal == nil {
		s.finish()
	}
}

// header reads the magic number and the version, 5.5.16, where components have
// another layer.
func (s *scanner) header() bool {
	switch {
	case len(s.bin) < 8 || !bytes.Equal(s.bin[:4], []byte("\x00asm")):
		s.refuse(0, "it is not a WebAssembly binary", "check the path: the file must start with the bytes 00 61 73 6d; text (.wat) is translated with wat2wasm")
	case bytes.Equal(s.bin[4:8], []byte{1, 0, 0, 0}):
		s.pos = 8
		return true
	case s.bin[6] == 1 && s.bin[7] == 0:
		s.refuse(4, "it is a component, and only core modules run here", "build for wasm32-unknown-unknown or wasm32-wasip1 without making a component, or take the core module out of it with `wasm-tools component unbundle`")
	default:
		s.refuse(4, fmt.Sprintf("its version is % x, which is none of a core module", s.bin[4:8]), remedyDamaged)
	}
	return false
}

// nextSection reads a section and returns its place in the order of sections,
// or previous after a custom one.
func (s *scanner) nextSection(previous int) int {
	at := s.pos
	s.section, s.end = "", len(s.bin)
	id := s.byte()
	if id == sectionTag {
		s.refuse(at, "it uses exceptions", remedyFeature)
		return previous
	}
	if int(id) >= len(sectionNames) {
		s.damaged(at, fmt.Sprintf("section %d is unknown", id))
		return previous
	}
	s.section = sectionNames[id]
	size := s.u32()
	if s.refusal != nil {
		return previous
	}
	if uint64(size) > uint64(len(s.bin)-s.pos) {
		s.damaged(at, fmt.Sprintf("the section has %d bytes, but the file ends %d bytes after its start", size, len(s.bin)-s.pos))
		return previous
	}
	s.end = s.pos + int(size)
	if id == sectionCustom {
		s.custom()
		return previous
	}
	place := slices.Index(sectionOrder[:], id)
	if place <= previous {
		s.damaged(at, "the section is there twice, or too late")
		return previous
	}
	s.m.sections[id] = span{uint32(s.pos), uint32(s.end)}
	s.content(id)
	if s.refusal == nil && s.pos != s.end {
		s.damaged(s.pos, fmt.Sprintf("the section has %d bytes after its content", s.end-s.pos))
	}
	return place
}

func (s *scanner) content(id byte) {
	switch id {
	case sectionType:
		s.typeSection()
	case sectionImport:
		s.importSection()
	case sectionFunction:
		s.functionSection()
	case sectionTable:
		s.each(func() { s.table() })
	case sectionMemory:
		s.each(func() { s.memory() })
	case sectionGlobal:
		s.globalSection()
	case sectionExport:
		s.exportSection()
	case sectionStart:
		s.functionIndex()
	case sectionElement:
		s.elementSection()
	case sectionDataCount:
		s.dataCount, s.hasDataCount = s.u32(), true
	case sectionCode:
		s.codeSection()
	case sectionData:
		s.dataSection()
	}
}

// each reads a vector whose elements f reads, 5.1.3. An element has at least
// one byte, so a count that is larger than the rest is refused at once.
func (s *scanner) each(f func()) {
	for range s.count() {
		if s.refusal != nil {
			return
		}
		f()
	}
}

// finish checks what only the whole tells.
func (s *scanner) finish() {
	s.section = ""
	s.function = -1
	switch {
	case len(s.m.funcs) != s.m.Functions:
		s.damaged(s.end, fmt.Sprintf("it declares %d functions and has code for %d", s.m.Functions, len(s.m.funcs)))
	case s.hasDataCount && uint64(s.dataCount) != s.m.used.dataSegments:
		s.damaged(s.end, fmt.Sprintf("it declares %d data segments and has %d", s.dataCount, s.m.used.dataSegments))
	case s.memories != 1:
		s.refuse(s.end, "it has no memory", "define one memory and export it as \"memory\"; linkers do that by default")
	case !s.hasMemoryExport:
		s.refuse(s.end, "it does not export its memory as \"memory\"", "export it under that name; linkers do that by default")
	}
}

// nameOf finds the name of a function: in the name section, which comes last
// and is read only for this, or else among the exports.
func (s *scanner) nameOf(function int) string {
	if function < 0 {
		return ""
	}
	if name := functionName(s.bin, uint32(function)); name != "" {
		return name
	}
	for _, e := range s.m.Exports {
		if e.Kind == KindFunction && int(e.Index) == function {
			return e.Name
		}
	}
	return ""
}
