package record

// Repeats finds fields with the name of another field of their record, for receivers
// that do not take both. The zero value is for one record, whose fields must be asked
// for in order.
type Repeats struct {
	looks uint64 // a set of what the names were like, so that most are not compared
}

// Before is how many fields before the i-th have its name.
func (s *Repeats) Before(r *Record, i int) (n int) {
	name := r.Fields[i].Name
	bit := uint64(1)
	if len(name) > 0 {
		bit <<= (len(name) + 7*int(name[0]) + 31*int(name[len(name)-1]) + 13*int(name[len(name)/2])) & 63
	}
	if s.looks&bit != 0 {
		for j := range r.Fields[:i] {
			if string(r.Fields[j].Name) == string(name) {
				n++
			}
		}
	}
	s.looks |= bit
	return n
}
