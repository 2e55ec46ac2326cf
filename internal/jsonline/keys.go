package jsonline

// Keys are the names under which an object has what the agent knows of a record.
// An empty name leaves it out. A field of a record that has one of these names gets
// `_` in front.
type Keys struct {
	// Time is when the event was, or was read if that is not known.
	Time string `yaml:"time" default:"time" example:"'@timestamp'"`
	// TimeFormat is `rfc3339`, a text such as `2026-01-02T03:04:05.000000006Z`, or a
	// number since 1970 in UTC: of seconds with a fraction, of milliseconds or of
	// nanoseconds.
	TimeFormat string `yaml:"time_format" default:"rfc3339" enum:"rfc3339,unix,unix_ms,unix_ns"`
	// Message is the line of a record that no processor has taken apart.
	Message string `yaml:"message" default:"message" example:"msg"`
	// Original is the line of a record that could not be parsed.
	Original string `yaml:"original" default:"original" example:"raw"`
	// Error is why a record could not be parsed.
	Error string `yaml:"error" default:"parse_error" example:"fault"`
	// Marks are words on the record, such as `split` or `partial`, if there are any.
	Marks string `yaml:"marks" default:"marks" example:"flags"`
	// Path is that of the file.
	Path string `yaml:"path" default:"path" example:"file"`
	// Offset is where in the file the record begins, in bytes.
	Offset string `yaml:"offset" default:"" example:"offset"`
	// ID names the record: the same in each copy that is sent of it, and different
	// for all others.
	ID string `yaml:"id" default:"" example:"id"`
	// Host is the name of the host.
	Host string `yaml:"host" default:"host" example:"hostname"`
	// Pipeline is the name of the pipeline.
	Pipeline string `yaml:"pipeline" default:"" example:"pipeline"`
	// Logstore is the log store that the pipeline names.
	Logstore string `yaml:"logstore" default:"" example:"logstore"`
}

// Validate reports keys that are the same.
func (k *Keys) Validate(report func(key, problem string)) {
	used := map[string]string{}
	for _, x := range [...][2]string{
		{"time", k.Time},
		{"message", k.Message},
		{"original", k.Original},
		{"error", k.Error},
		{"marks", k.Marks},
		{"path", k.Path},
		{"offset", k.Offset},
		{"id", k.ID},
		{"host", k.Host},
		{"pipeline", k.Pipeline},
		{"logstore", k.Logstore},
	} {
		if other := used[x[1]]; x[1] != "" && other != "" {
			report(x[0], "is the name of "+other+" too")
		}
		used[x[1]] = x[0]
	}
}

// Names are what a Writer wants.
func (k *Keys) Names() Names {
	return Names{
		Time: k.Time, Format: TimeFormat(k.TimeFormat), Message: k.Message, Original: k.Original, Error: k.Error, Marks: k.Marks, Path: k.Path,
		Offset: k.Offset, ID: k.ID, Host: k.Host, Pipeline: k.Pipeline, Logstore: k.Logstore, Prefix: "_",
	}
}
