package formats

import "bytes"

// columns are what a header line names: how many there are, and which are a date and
// a time of the day, -1 for none.
type columns struct{ count, date, clock int }

// columnsOf reads a header line. Its first word names no column.
func columnsOf(header []byte) columns {
	c := columns{date: -1, clock: -1}
	for i, name := range bytes.Fields(header)[1:] {
		switch string(name) {
		case "date":
			c.date = i
		case "time":
			c.clock = i
		}
		c.count++
	}
	return c
}

// fit reports whether line has as many values, and those that say when are of that
// form. Where no column says when, none fits: a number of words says too little.
func (c columns) fit(line []byte) bool {
	if c.count == 0 || c.date < 0 && c.clock < 0 {
		return false
	}
	values := bytes.Fields(line)
	if bytes.IndexByte(line, '\t') >= 0 {
		values = bytes.Split(line, []byte("\t"))
	}
	return len(values) == c.count &&
		(c.date < 0 || isLike(values[c.date], "0000-00-00")) &&
		(c.clock < 0 || isLike(values[c.clock], "00:00:00"))
}

// isLike reports whether value begins with digits where shape has a 0, and what else
// it has.
func isLike(value []byte, shape string) bool {
	if len(value) < len(shape) {
		return false
	}
	for i := range len(shape) {
		isDigit := value[i] >= '0' && value[i] <= '9'
		if shape[i] == '0' != isDigit || !isDigit && value[i] != shape[i] {
			return false
		}
	}
	return true
}
