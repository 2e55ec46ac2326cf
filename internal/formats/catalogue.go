package formats

import (
	"regexp"
	"sync"
)

// source is a format as written down: one pattern both recognises a line and,
// with its named groups, takes it apart.
type source struct {
	name      string
	pattern   string // the regex processor's pattern; "" when parse stands alone
	detect    string // recognises a line when pattern does not, or is too lax
	multiline string
	time      string // format of the field "time"; "" for none
	parse     string // processors instead of pattern and time
}

// The more particular a format is, the earlier it stands: of two that fit
// equally well the first wins.
var sources = []source{
	{
		name: "nginx_access",
		pattern: `^(?P<remote_addr>\S+) \S+ (?P<remote_user>\S+) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" ` +
			`(?P<status>\d+) (?P<body_bytes_sent>\S+)(?: "(?P<http_referer>[^"]*)" "(?P<http_user_agent>[^"]*)")?`,
		time: "%d/%b/%Y:%H:%M:%S %z",
	},
	{
		name:    "nginx_error",
		pattern: `^(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>\w+)\] (?P<pid>\d+)#(?P<tid>\d+): (?P<message>.*)`,
		time:    "%Y/%m/%d %H:%M:%S",
	},
	{
		name:    "apache_error",
		pattern: `^\[(?P<time>\w{3} \w{3} +\d+ [\d:.]+ \d{4})\] \[(?P<level>[^\]]+)\] (?P<message>.*)`,
		parse: `- {type: regex, pattern: '^\[(?P<time>\w{3} \w{3} +\d+ [\d:.]+ \d{4})\] \[(?P<level>[^\]]+)\] (?P<message>.*)'}
- {type: time, field: time, formats: ['%a %b %d %H:%M:%S.%f %Y', '%a %b %d %H:%M:%S %Y']}`,
	},
	{
		name:   "docker_json",
		detect: `^\{"log":".*","stream":"(stdout|stderr)",.*"time":"`,
		parse: `- {type: json}
- {type: time, field: time, format: rfc3339}`,
	},
	{
		name:    "cri",
		pattern: `^(?P<time>\d{4}-\d\d-\d\dT\S+) (?P<stream>stdout|stderr) (?P<logtag>[FP]) (?P<message>.*)`,
		time:    "rfc3339",
	},
	{
		name:   "json",
		detect: `^\s*\{\s*"[^"]*"\s*:.*\}\s*$`,
		parse:  `- {type: json}`,
	},
	{
		name:    "klog",
		pattern: `^(?P<level>[IWEF])(?P<time>\d{4} \d\d:\d\d:\d\d\.\d{6}) +(?P<pid>\d+) (?P<source>[^\]]+)\] (?P<message>.*)`,
		time:    "%m%d %H:%M:%S.%f",
	},
	{
		name:    "auditd",
		pattern: `^type=(?P<type>\S+) msg=audit\((?P<time>\d+\.\d+):(?P<id>\d+)\): ?(?P<message>.*)`,
		time:    "epoch_s",
	},
	{
		name:    "dpkg",
		pattern: `^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<action>startup|status|install|upgrade|configure|trigproc|remove|purge|conffile) (?P<message>.*)`,
		time:    "%Y-%m-%d %H:%M:%S",
	},
	{
		name:    "alternatives",
		pattern: `^(?P<program>update-alternatives) (?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d): (?P<message>.*)`,
		time:    "%Y-%m-%d %H:%M:%S",
	},
	{
		name:    "syslog",
		pattern: `^(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?P<hostname>\S+) (?P<program>[^\[\]: ]+)(?:\[(?P<pid>\d+)\])?: (?P<message>.*)`,
		time:    "%b %e %H:%M:%S",
	},
	{
		name:    "syslog_iso",
		pattern: `^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) (?P<hostname>\S+) (?P<program>[^\[\]: ]+)(?:\[(?P<pid>\d+)\])?: (?P<message>.*)`,
		time:    "rfc3339",
	},
	{
		name:      "postgresql",
		pattern:   `(?s)^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \w+) \[(?P<pid>\d+)\] (?P<context>\S* ?)(?P<level>[A-Z]+): +(?P<message>.*)`,
		multiline: `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \w+ \[`,
		parse: `- {type: regex, pattern: '(?s)^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) \w+ \[(?P<pid>\d+)\] (?P<context>\S* ?)(?P<level>[A-Z]+): +(?P<message>.*)'}
- {type: time, field: time, format: '%Y-%m-%d %H:%M:%S.%f'}`,
	},
	{
		name: "application",
		pattern: `(?s)^(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?)(?:Z|[+-]\d\d:?\d\d)? +(?:\[[^\]]*\] +)?` +
			`(?P<level>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL) +(?P<message>.*)`,
		multiline: `^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d`,
		parse: `- {type: regex, pattern: '(?s)^(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?) +(?:\[(?P<thread>[^\]]*)\] +)?(?P<level>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL) +(?P<message>.*)'}
- {type: time, field: time, formats: [iso8601]}`,
	},
	{
		name:   "logfmt",
		detect: `^(\w[\w.\-]*=("[^"]*"|[^ "=]*) ){2,}\w[\w.\-]*=`,
		parse:  `- {type: logfmt}`,
	},
}

// Catalogue returns all known formats, the most particular first. It is shared:
// callers do not change it.
func Catalogue() []Format { return catalogue() }

// catalogue compiles the patterns once: a survey detects thousands of files.
var catalogue = sync.OnceValue(compile)

func compile() []Format {
	all := make([]Format, 0, len(sources))
	for _, s := range sources {
		detect := s.detect
		if detect == "" {
			detect = s.pattern
		}
		parse := s.parse
		if parse == "" {
			parse = "- {type: regex, pattern: '" + s.pattern + "'}"
			if s.time != "" {
				parse += "\n- {type: time, field: time, format: '" + s.time + "'}"
			}
		}
		all = append(all, Format{Name: s.name, Line: regexp.MustCompile(detect), Multiline: s.multiline, Processors: parse})
	}
	return all
}
