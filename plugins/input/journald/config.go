package journald

import (
	"slices"
	"strings"
)

// Config are the settings of the journald input: it reads the journal of systemd by
// journalctl, which must be installed, from where it was.
type Config struct {
	// Units are those whose entries are wanted, such as nginx.service, with * as in a
	// shell. Without them, all are.
	Units []string `yaml:"units" example:"[nginx.service, 'app-*']"`
	// Matches are fields and the values they must have, as journalctl takes them.
	// Several of one field mean any of them, those of different fields all.
	Matches []string `yaml:"matches" example:"[SYSLOG_IDENTIFIER=sshd, PRIORITY=3]"`
	// Fields lists fields of the journal that records get besides those that they
	// always have, by the names they have there; * stands for all there are.
	Fields []string `yaml:"fields" example:"[_COMM, CODE_FILE]"`
	// StartAt is where to begin with a journal that was never read: end, or beginning.
	StartAt string `yaml:"start_at" default:"end" enum:"end,beginning"`
	// Directory holds the journal, in place of this system's own.
	Directory string `yaml:"directory" path:"true" example:"/host/var/log/journal"`
	// Journalctl is the program, by its path or by a name that is looked for in PATH.
	Journalctl string `yaml:"journalctl" default:"journalctl" example:"/usr/bin/journalctl"`
}

// Validate reports settings that cannot work.
func (c *Config) Validate(report func(key, problem string)) {
	if slices.ContainsFunc(c.Units, func(u string) bool { return u == "" || strings.HasPrefix(u, "-") }) {
		report("units", "must be names of units, such as nginx.service")
	}
	for _, m := range c.Matches {
		if name, _, ok := strings.Cut(m, "="); !ok || !isName(name) {
			report("matches", "must be as in SYSLOG_IDENTIFIER=sshd")
			break
		}
	}
	if slices.ContainsFunc(c.Fields, func(f string) bool { return f != "*" && !isName(f) }) {
		report("fields", "must be names of journal fields, such as _COMM, or *")
	}
}

func isName(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// all is true if records get every field of the journal.
func (c *Config) all() bool { return slices.Contains(c.Fields, "*") }

// arguments are those of journalctl for what is wanted.
func (c *Config) arguments() []string {
	args := []string{"--output=json", "--all", "--quiet", "--no-pager"}
	if !c.all() {
		args = append(args, "--output-fields="+strings.Join(append(mappedNames(), c.Fields...), ","))
	}
	if c.Directory != "" {
		args = append(args, "--directory="+c.Directory)
	}
	for _, u := range c.Units {
		args = append(args, "--unit="+u)
	}
	return append(args, c.Matches...)
}
