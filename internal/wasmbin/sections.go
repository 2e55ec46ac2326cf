package wasmbin

import "fmt"

// typeSection reads the types of functions, 5.5.4.
func (s *scanner) typeSection() {
	n := s.count()
	s.m.used.types = uint64(n)
	if !s.within(uint64(n), s.m.limits.Types, "types") {
		return
	}
	s.m.types = make([]Signature, 0, n)
	arena := make([]ValueType, 0, s.end-s.pos)
	for range n {
		at := s.pos
		switch b := s.byte(); {
		case s.refusal != nil:
			return
		case b == 0x60:
		case b >= 0x4e && b <= 0x5f:
			s.refuse(at, "it uses garbage-collected types", remedyFeature)
			return
		default:
			s.damaged(at, fmt.Sprintf("%#x begins no type of a function", b))
			return
		}
		var sig Signature
		arena, sig.Params = s.resultType(arena)
		arena, sig.Results = s.resultType(arena)
		s.m.types = append(s.m.types, sig)
	}
}

// resultType reads a list of value types into arena, 5.3.5.
func (s *scanner) resultType(arena []ValueType) (rest, types []ValueType) {
	start := len(arena)
	for range s.count() {
		t := s.valueType()
		if s.refusal != nil {
			return arena, nil
		}
		arena = append(arena, t)
	}
	return arena, arena[start:len(arena):len(arena)]
}

// typeIndex reads the index of a type that must exist.
func (s *scanner) typeIndex() uint32 {
	at := s.pos
	i := s.u32()
	if s.refusal == nil && int64(i) >= int64(len(s.m.types)) {
		s.damaged(at, fmt.Sprintf("type %d is used, but there are only %d", i, len(s.m.types)))
		return 0
	}
	return i
}

// importSection reads imports, 5.5.5.
func (s *scanner) importSection() {
	n := s.count()
	s.m.used.imports = uint64(n)
	if !s.within(uint64(n), s.m.limits.Imports, "imports") {
		return
	}
	s.m.Imports = make([]Import, 0, n)
	for range n {
		at := s.pos
		i := Import{Module: string(s.name()), Name: string(s.name()), Kind: Kind(s.byte())}
		if s.refusal != nil {
			return
		}
		if i.Module == TickModule && i.Name == TickName {
			s.refuse(at, fmt.Sprintf("it imports %q from %q, which is kept for metering", TickName, TickModule), "do not declare this import: the host adds it by itself")
			return
		}
		switch i.Kind {
		case KindFunction:
			t := s.typeIndex()
			if s.refusal != nil {
				return
			}
			i.Signature = s.m.types[t]
			s.typeOf = append(s.typeOf, t)
		case KindTable:
			s.table()
		case KindMemory:
			s.refuse(at, fmt.Sprintf("it imports its memory (%q from %q)", i.Name, i.Module), "define the memory in the module and export it as \"memory\": link without --import-memory")
		case KindGlobal:
			s.globalType()
		case 4:
			s.refuse(at, "it uses exceptions", remedyFeature)
		default:
			s.damaged(at, fmt.Sprintf("import %q from %q is of the unknown kind %d", i.Name, i.Module, i.Kind))
		}
		if s.refusal != nil {
			return
		}
		s.m.imported[i.Kind]++
		s.m.Imports = append(s.m.Imports, i)
	}
}

// functionSection reads the types of the functions that the module defines,
// 5.5.6.
func (s *scanner) functionSection() {
	n := s.count()
	s.m.used.functions = uint64(n) + uint64(len(s.typeOf))
	if !s.within(s.m.used.functions, s.m.limits.Functions, "functions") {
		return
	}
	typeOf := make([]uint32, len(s.typeOf), len(s.typeOf)+int(n))
	copy(typeOf, s.typeOf)
	for range n {
		typeOf = append(typeOf, s.typeIndex())
		if s.refusal != nil {
			return
		}
	}
	s.typeOf, s.m.Functions = typeOf, int(n)
}

// limits reads how large something is at first and at most, 5.3.7.
func (s *scanner) limits(what string) (least, most uint32, bounded bool) {
	at := s.pos
	switch flags := s.byte(); {
	case flags <= 1:
		least, bounded = s.u32(), flags == 1
	case flags <= 3:
		s.refuse(at, "it uses threads: its "+what+" is shared", remedyFeature)
	case flags <= 7:
		s.refuse(at, "it uses memory64: its "+what+" has addresses of 64 bits", "build for wasm32")
	default:
		s.damaged(at, fmt.Sprintf("the %s has the unknown flags %#x", what, flags))
	}
	if bounded {
		most = s.u32()
		if s.refusal == nil && most < least {
			s.damaged(at, fmt.Sprintf("the %s has at least %d and at most %d", what, least, most))
		}
	}
	return least, most, bounded
}

// table reads a table type, 5.3.9.
func (s *scanner) table() {
	at := s.pos
	if at < s.end && s.bin[at] == 0x40 {
		s.refuse(at, "it uses typed function references: a table with an initial value", remedyFeature)
		return
	}
	s.refType()
	least, _, _ := s.limits("table")
	if s.refusal != nil {
		return
	}
	if s.tables > 0 {
		s.refuse(at, "it has more than one table, the limit is 1", "build it without --experimental features that add tables")
		return
	}
	s.tables++
	s.m.TableEntries, s.m.used.tableEntries = least, uint64(least)
	s.within(uint64(least), s.m.limits.TableEntries, "table entries")
}

// memory reads a memory type, 5.3.8.
func (s *scanner) memory() {
	at := s.pos
	least, most, bounded := s.limits("memory")
	if s.refusal != nil {
		return
	}
	if s.memories++; s.memories > 1 {
		s.refuse(at, "it has more than one memory", remedyFeature)
		return
	}
	if least > 1<<16 || most > 1<<16 {
		s.damaged(at, fmt.Sprintf("the memory has more than %d pages", 1<<16))
		return
	}
	s.m.MemoryMin, s.m.used.memory = least, uint64(least)
	if bounded {
		s.m.MemoryMax = most
	}
	if uint64(least) > uint64(s.m.limits.MemoryPages) {
		s.refuse(at, fmt.Sprintf("its memory starts with %d pages of 64 KiB, the limit is %d", least, s.m.limits.MemoryPages), "declare less memory at the start (--initial-memory, smaller static arrays), or raise the limit of this module")
	}
}

// globalType reads the type of a global, 5.3.10.
func (s *scanner) globalType() {
	s.valueType()
	at := s.pos
	switch flag := s.byte(); {
	case flag > 1:
		s.damaged(at, fmt.Sprintf("a global has the unknown flags %#x", flag))
	case flag == 1:
		s.m.mutable++
	}
	s.m.globals++
}

// globalSection reads the globals that the module defines, 5.5.9.
func (s *scanner) globalSection() {
	at := s.pos
	n := s.count()
	s.m.used.globals = uint64(n) + uint64(s.m.globals)
	if !s.within(s.m.used.globals, s.m.limits.Globals, "globals") {
		return
	}
	s.pos = at
	s.each(func() {
		s.globalType()
		s.constant()
	})
}

// exportSection reads exports, 5.5.10.
func (s *scanner) exportSection() {
	n := s.count()
	s.m.used.exports = uint64(n)
	if !s.within(uint64(n), s.m.limits.Exports, "exports") {
		return
	}
	s.m.Exports = make([]Export, 0, n)
	names := make(map[string]struct{}, n)
	for range n {
		at := s.pos
		e := Export{Name: string(s.name()), Kind: Kind(s.byte())}
		if s.refusal != nil {
			return
		}
		if _, twice := names[e.Name]; twice {
			s.damaged(at, fmt.Sprintf("it exports %q twice", e.Name))
			return
		}
		names[e.Name] = struct{}{}
		s.export(at, &e)
		if s.refusal != nil {
			return
		}
		s.m.Exports = append(s.m.Exports, e)
	}
	_, command := names["_start"]
	if _, parser := names["wt_process"]; command && !parser {
		s.refuse(s.pos, "it is a command: it exports \"_start\", and no \"wt_process\"", "build a library instead: in Go with -buildmode=c-shared, in Rust with crate-type = [\"cdylib\"], in C and C++ with -mexec-model=reactor")
	}
}

// export reads what an export stands for.
func (s *scanner) export(at int, e *Export) {
	if e.Name == FuelName || e.Name == StackName {
		s.refuse(at, fmt.Sprintf("it exports %q, which is kept for metering", e.Name), "give this export another name")
		return
	}
	switch e.Kind {
	case KindFunction:
		e.Index = s.functionIndex()
		if s.refusal == nil {
			e.Signature = s.m.types[s.typeOf[e.Index]]
		}
		return
	case KindMemory:
		s.hasMemoryExport = s.hasMemoryExport || e.Name == "memory"
	case KindTable, KindGlobal:
	case 4:
		s.refuse(at, "it uses exceptions", remedyFeature)
		return
	default:
		s.damaged(at, fmt.Sprintf("export %q is of the unknown kind %d", e.Name, e.Kind))
		return
	}
	e.Index = s.u32()
	have := map[Kind]uint64{KindTable: uint64(s.tables), KindMemory: uint64(s.memories), KindGlobal: uint64(s.m.globals)}[e.Kind]
	if uint64(e.Index) >= have {
		s.damaged(at, fmt.Sprintf("export %q is %s %d, but there are only %d", e.Name, e.Kind, e.Index, have))
	}
}

// constant reads an expression that is evaluated before the module runs: one
// instruction and an end, 3.3.10 and 5.4.9.
func (s *scanner) constant() {
	at := s.pos
	op := s.byte()
	switch op {
	case opI32Const:
		s.skip(skipNumber(s.bin[:s.end], s.pos, 5))
	case opI64Const:
		s.skip(skipNumber(s.bin[:s.end], s.pos, 10))
	case opF32Const:
		s.skip(s.pos + 4)
	case opF64Const:
		s.skip(s.pos + 8)
	case opPrefixVector:
		if s.byte() != vectorConst {
			s.damaged(at, "an instruction is not allowed in a constant")
			return
		}
		s.skip(s.pos + 16)
	case opGlobalGet:
		s.u32()
	case opRefNull:
		s.refType()
	case opRefFunc:
		s.functionIndex()
	default:
		s.damaged(at, fmt.Sprintf("the instruction %#x is not allowed in a constant", op))
		return
	}
	if at = s.pos; s.byte() != opEnd {
		s.refuse(at, "it uses a constant of more than one instruction", remedyFeature)
	}
}

// skip moves to a position that was computed.
func (s *scanner) skip(to int) {
	if to < 0 || to > s.end {
		s.damaged(s.pos, "it ends in the middle of something")
		return
	}
	s.pos = to
}

// elementSection reads element segments, 5.5.12.
func (s *scanner) elementSection() {
	at := s.pos
	n := s.count()
	s.m.used.elementSegments = uint64(n)
	if !s.within(uint64(n), s.m.limits.ElementSegments, "element segments") {
		return
	}
	s.pos = at
	s.each(s.elementSegment)
}

// elementSegment reads one of the eight forms. Bit 0 of its flags says that it
// is passive or declarative, bit 1 that it names its table, or is declarative,
// and bit 2 that it lists expressions instead of indices.
func (s *scanner) elementSegment() {
	at := s.pos
	flags := s.u32()
	if flags > 7 {
		s.damaged(at, fmt.Sprintf("an element segment has the unknown flags %#x", flags))
		return
	}
	active, explicit, expressions := flags&1 == 0, flags&2 != 0, flags&4 != 0
	if active && explicit {
		s.u32()
	}
	if active {
		s.constant()
	}
	if !active || explicit {
		if expressions {
			s.refType()
		} else if at = s.pos; s.byte() != 0 {
			s.damaged(at, "an element segment has an unknown kind")
		}
	}
	n := s.count()
	s.m.used.elements += uint64(n)
	if !s.within(s.m.used.elements, s.m.limits.Elements, "elements in its element segments") {
		return
	}
	for range n {
		if s.refusal != nil {
			return
		}
		if expressions {
			s.constant()
		} else {
			s.functionIndex()
		}
	}
}

// dataSection reads data segments, 5.5.14.
func (s *scanner) dataSection() {
	at := s.pos
	n := s.count()
	s.m.used.dataSegments = uint64(n)
	if !s.within(uint64(n), s.m.limits.DataSegments, "data segments") {
		return
	}
	s.pos = at
	s.each(func() {
		at := s.pos
		flags := s.u32()
		if flags > 2 {
			s.damaged(at, fmt.Sprintf("a data segment has the unknown flags %#x", flags))
			return
		}
		if flags == 2 {
			if s.u32() != 0 {
				s.refuse(at, "it has more than one memory", remedyFeature)
			}
		}
		if flags != 1 {
			s.constant()
		}
		size := int(s.count())
		s.skip(s.pos + size)
	})
}
