package strptime

// The names that %b and %a read. A name is found by its first three letters;
// the rest is read only if it is there as a whole.
var (
	monthRests   = [...]string{"", "uary", "ruary", "ch", "il", "", "e", "y", "ust", "tember", "ober", "ember", "ember"}
	weekdayRests = [...]string{"day", "day", "sday", "nesday", "rsday", "day", "urday"}
)

func letters3(a, b, c byte) uint32 {
	return uint32(a|0x20)<<16 | uint32(b|0x20)<<8 | uint32(c|0x20)
}

// monthOf returns 1 to 12, or -1.
func monthOf(key uint32) int {
	switch key {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return -1
}

// weekdayOf returns 0 (Sunday) to 6, or -1.
func weekdayOf(key uint32) int {
	switch key {
	case 's'<<16 | 'u'<<8 | 'n':
		return 0
	case 'm'<<16 | 'o'<<8 | 'n':
		return 1
	case 't'<<16 | 'u'<<8 | 'e':
		return 2
	case 'w'<<16 | 'e'<<8 | 'd':
		return 3
	case 't'<<16 | 'h'<<8 | 'u':
		return 4
	case 'f'<<16 | 'r'<<8 | 'i':
		return 5
	case 's'<<16 | 'a'<<8 | 't':
		return 6
	}
	return -1
}

// name reads a name at text[at:]; next is at when there is none.
func name(text []byte, at int, find func(uint32) int, rests []string) (index, next int) {
	if at+3 > len(text) {
		return 0, at
	}
	index = find(letters3(text[at], text[at+1], text[at+2]))
	if index < 0 {
		return 0, at
	}
	next = at + 3
	rest := rests[index]
	if rest == "" || next+len(rest) > len(text) {
		return index, next
	}
	for i := range len(rest) {
		if text[next+i]|0x20 != rest[i] {
			return index, next
		}
	}
	return index, next + len(rest)
}
