package wt

import "unsafe"

// Setup gathers what the module tells the agent when it is started.
type Setup struct {
	// Config is the configuration, JSON, valid as long as the module.
	Config  []byte
	head    []byte
	fields  []byte
	metrics []byte
	schema  []byte
	names   []string
	kinds   []Kind
	counts  uint32
	caps    Caps
	wanted  uint32
}

// Name names the parser and its version.
func (s *Setup) Name(name, version string) {
	s.head = quote(append(s.head[:0], `{"name":`...), name)
	s.head = quote(append(s.head, `,"version":`...), version)
}

// Field adds a field to the schema and returns its id: 0 for the first, then 1,
// and so on, so that constants in the same order do as well. The name is of 1 to
// 256 bytes, does not begin with _ and is there once. At most 1024.
func (s *Setup) Field(name string, kind Kind, doc string) uint32 {
	kinds := [...]string{"string", "int", "float", "bool", "string", "bytes", "json"}
	if len(s.names) > 0 {
		s.fields = append(s.fields, ',')
	}
	s.fields = quote(append(s.fields, `{"name":`...), name)
	s.fields = quote(append(s.fields, `,"type":`...), kinds[kind])
	s.fields = append(quote(append(s.fields, `,"doc":`...), doc), '}')
	s.names = append(s.names, name)
	s.kinds = append(s.kinds, kind)
	return uint32(len(s.names) - 1) // at most 1024
}

// Metric adds a counter and returns its id, for CounterAdd. At most 64.
func (s *Setup) Metric(name string) uint32 {
	if s.counts > 0 {
		s.metrics = append(s.metrics, ',')
	}
	s.metrics = quote(s.metrics, name)
	s.counts++
	return s.counts - 1
}

// Caps declares what rows may do: CapDrop | CapTime and so on.
func (s *Setup) Caps(c Caps) { s.caps |= c }

// Want asks for batches of so many bytes.
func (s *Setup) Want(bytes uint32) { s.wanted = bytes }

// ConfigString gets a text of the configuration by its key, decoded, or another
// when it is absent or no text.
func (s *Setup) ConfigString(key, fallback string) string {
	v, ok := Get(s.Config, key)
	if !ok || v[0] != '"' {
		return fallback
	}
	v = v[1 : len(v)-1]
	return string(decode(make([]byte, len(v)), v))
}

// ConfigInt is ConfigString for an integer.
func (s *Setup) ConfigInt(key string, fallback int64) int64 {
	if v, ok := Get(s.Config, key); ok {
		if n, ok := ParseInt(v); ok {
			return n
		}
	}
	return fallback
}

// ConfigFloat is ConfigString for a number.
func (s *Setup) ConfigFloat(key string, fallback float64) float64 {
	if v, ok := Get(s.Config, key); ok {
		if x, ok := ParseFloat(v); ok {
			return x
		}
	}
	return fallback
}

// ConfigBool is ConfigString for true and false.
func (s *Setup) ConfigBool(key string, fallback bool) bool {
	if v, ok := Get(s.Config, key); ok && (string(v) == "true" || string(v) == "false") {
		return v[0] == 't'
	}
	return fallback
}

func quote(to []byte, s string) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c < ' ':
			to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}

// initialize runs the parser's Setup and returns the info for the agent.
func initialize(config []byte) unsafe.Pointer {
	g := &guest
	g.setup = Setup{Config: append([]byte(nil), config...)}
	s := &g.setup
	s.Name("parser", "0.0.0")
	why := ""
	var err error
	switch {
	case g.batch != nil:
		err = g.batch.Setup(s)
	case g.line != nil:
		err = g.line.Setup(s)
	default:
		why = "the module registers no parser"
	}
	if err != nil {
		why = err.Error()
	}
	s.schema = append(append(append(s.schema, s.head...), `,"fields":[`...), s.fields...)
	if s.counts > 0 {
		s.schema = append(append(s.schema, `],"metrics":[`...), s.metrics...)
	}
	s.schema = append(s.schema, "]}"...)
	said = why
	g.info = [8]uint32{
		4 * uint32(len(g.info)), uint32(s.caps), 0, address(s.schema),
		uint32(len(s.schema)), address(Text(why)), uint32(len(why)), s.wanted, // as the contract has it
	}
	if why != "" {
		g.info[2] = 1
	}
	return unsafe.Pointer(&g.info)
}
