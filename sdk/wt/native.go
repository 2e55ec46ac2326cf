//go:build !wasip1

package wt

import "unsafe"

// offline is what the imports read and leave here.
var offline struct {
	tables  []map[string]string
	counted [64]int64
	said    []byte // the last message
	span    []byte // key=value of the last attribute
}

func native(p unsafe.Pointer, n uint32) []byte { return unsafe.Slice((*byte)(p), int(n)) }

func hostLog(_ uint32, p unsafe.Pointer, n uint32) {
	offline.said = append(offline.said[:0], native(p, n)...)
}

func hostLogLevel() uint32 { return LogError }

func hostCounterAdd(id uint32, n int64) { offline.counted[id] += n }

func hostSpanAttr(k unsafe.Pointer, kn uint32, v unsafe.Pointer, vn uint32) {
	offline.span = append(append(append(offline.span[:0], native(k, kn)...), '='), native(v, vn)...)
}

func hostLookup(table uint32, key string, out unsafe.Pointer, room uint32) int32 {
	if int(table) >= len(offline.tables) {
		return -1
	}
	v, ok := offline.tables[table][key]
	if !ok {
		return -1
	}
	if len(v) <= int(room) {
		copy(native(out, room), v)
	}
	return int32(len(v)) // short
}

// TryTables sets the tables that Lookup finds things in here. For tests.
func TryTables(tables ...map[string]string) { offline.tables = tables }

// Tried is a row that Try got.
type Tried struct {
	First, Events int
	Status        Status
	Code          int
	Error         string
	Dropped       bool
	// Fields has the values by the fields' names: []byte, int64, float64, bool;
	// "$time" and "$severity" are the record's own.
	Fields map[string]any
}

// Try runs the registered parser over lines, as one final batch with room for
// maxOut bytes of made values, and returns the rows. For tests: it starts the
// parser anew, with a configuration.
func Try(config string, maxOut uint32, lines ...string) (rows []Tried) {
	initialize([]byte(config))
	const headWords, eventWords = unsafe.Sizeof(header{}) / 8, unsafe.Sizeof(event{}) / 8
	total := 0
	for _, l := range lines {
		total += len(l) + 1
	}
	events := int(headWords)
	first := events + int(eventWords)*len(lines)
	room := make([]uint64, first+total/8+1)
	data := unsafe.Slice((*byte)(unsafe.Pointer(&room[first])), total)
	in := (*header)(unsafe.Pointer(&room[0]))
	*in = header{flags: 1, events: size(data), maxOut: maxOut, data: address(data), length: size(data)}
	in.events = uint32(len(lines)) // few
	in.table = address(unsafe.Slice((*byte)(unsafe.Pointer(&room[events])), 1))
	n := 0
	for i, l := range lines {
		e := (*event)(unsafe.Pointer(&room[events+int(eventWords)*i]))
		*e = event{offset: uint32(n), length: uint32(len(l))} // few
		n += copy(data[n:], l)
		data[n] = '\n'
		n++
	}
	process(unsafe.Pointer(in))
	table := guest.table[:guest.end[5]/4]
	for len(table) > 0 {
		fields := int(table[1] >> 16)
		rows = append(rows, tried(table[:rowWords+fieldWords*fields], data))
		table = table[rowWords+fieldWords*fields:]
	}
	return rows
}

func tried(row []uint32, data []byte) Tried {
	t := Tried{First: int(row[0]), Events: int(row[1] & 0xffff), Status: Status(row[2] & 0xff), Code: int(row[2] >> 16), Dropped: row[2]>>8&0xff != 0, Fields: map[string]any{}}
	key := ""
	for row = row[rowWords:]; len(row) > 0; row = row[fieldWords:] {
		id, v := row[0]&0xffff, triedValue(row, data)
		name := key
		switch key = ""; {
		case id == idKey:
			key = string(v.([]byte)) //nolint:forcetypeassert // a key is a string
			continue
		case id == idError:
			t.Error = string(v.([]byte)) //nolint:forcetypeassert // as is this
			continue
		case name != "":
		case id == idTime:
			name = "$time"
		case id == idSeverity:
			name = "$severity"
		case id == idBody:
			name = "content"
		case id == idRoute:
			name = "$route"
		case id < uint32(len(guest.setup.names)): // few
			name = guest.setup.names[id]
		}
		t.Fields[name] = v
	}
	return t
}

func triedValue(f []uint32, data []byte) any {
	n := uint64(f[1]) | uint64(f[2])<<32
	switch Kind(f[0] >> kindShift) {
	case Int:
		return int64(n) // its bits
	case Float:
		return *(*float64)(unsafe.Pointer(&n))
	case Bool:
		return n != 0
	}
	// An address has lost its upper half here: the value is in the data, in the
	// arena, or among the constants.
	for _, p := range [][]byte{data, guest.arena[:]} {
		if i := f[1] - address(p); int(i)+int(f[2]) <= len(p) {
			return p[i : i+f[2]]
		}
	}
	return unsafe.Slice((*byte)(at(unsafe.Pointer(unsafe.StringData(tooLarge)), f[1])), int(f[2]))
}
