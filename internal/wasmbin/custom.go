package wasmbin

import "strings"

// producersMax bounds how many entries of the section "producers" are kept, and
// producerBytesMax how long each of its names. No tool writes as much.
const (
	producersMax     = 32
	producerBytesMax = 256
)

// custom reads a custom section, 5.5.3. Only the name must be sound: what is in
// it does not change how a module runs.
func (s *scanner) custom() {
	at := s.pos
	name := string(s.name())
	if s.refusal != nil {
		return
	}
	content := s.bin[s.pos:s.end:s.end]
	s.pos = s.end
	switch name {
	case "producers":
		if s.m.Producers == nil {
			s.m.Producers = producers(content)
		}
	case MetaSection:
		if s.m.Meta != nil {
			s.refuse(at, "it has two sections \""+MetaSection+"\"", "pack it from the file that the compiler wrote")
			return
		}
		s.m.Meta = content
	}
}

// producers reads the section of that name as far as it is sound:
// fields, each a name and a list of names with versions, as the conventions for
// tools lay down.
func producers(content []byte) (list []Producer) {
	c := &scanner{bin: content, end: len(content), function: -1}
	for range c.count() {
		field := clip(c.name())
		for range c.count() {
			p := Producer{Field: field, Name: clip(c.name()), Version: clip(c.name())}
			if c.refusal != nil || len(list) == producersMax {
				return list
			}
			list = append(list, p)
		}
		if c.refusal != nil {
			return list
		}
	}
	return list
}

// clip copies a name for showing: bounded, and without control characters.
func clip(b []byte) string {
	if len(b) > producerBytesMax {
		b = b[:producerBytesMax]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), ""))
}

// functionName looks a function up in the name section, 7.4.1, or returns "".
// It passes over the headers of all sections again, so that Scan pays for names
// only when it has an error to tell.
func functionName(bin []byte, function uint32) string {
	c := &scanner{bin: bin, pos: 8, end: len(bin), function: -1}
	for c.pos < len(bin) && c.refusal == nil {
		id := c.byte()
		size := int(c.count())
		next := c.pos + size
		if id == sectionCustom && c.refusal == nil {
			c.end = next
			if string(c.name()) == "name" {
				return nameIn(c, function)
			}
			c.refusal = nil
		}
		c.pos, c.end = next, len(bin)
	}
	return ""
}

// functionNames is the part of the name section with the names of functions.
const functionNames = 1

func nameIn(c *scanner, function uint32) string {
	end := c.end
	for c.pos < end && c.refusal == nil {
		part := c.byte()
		size := int(c.count())
		next := c.pos + size
		if part != functionNames {
			c.pos = next
			continue
		}
		c.end = next
		for range c.count() {
			index := c.u32()
			name := c.name()
			if c.refusal != nil {
				return ""
			}
			if index == function {
				return clip(name)
			}
		}
		c.pos, c.end = next, end
	}
	return ""
}
