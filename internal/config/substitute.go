package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// substituteBytesMax bounds a file that `${file:…}` or `${cred:…}` reads.
const substituteBytesMax = 64 << 10

// substitution is what became of the text of a scalar.
type substitution struct {
	text string
	// done is true when something was put in: then the text counts as written
	// without quotes, and is not shown in faults.
	done bool
	// hidden is true when a part came from a file or a credential.
	hidden bool
}

// schemeRE matches the escape `$${` and the start of what looks like a
// substitution. `${name}` and `$1` do not match: they belong to regular
// expressions and templates.
var schemeRE = regexp.MustCompile(`\$\$\{|\$\{[A-Za-z_][A-Za-z0-9_]*:`)

// substitute replaces `${env:…}`, `${file:…}` and `${cred:…}` in a scalar.
// secret says that the text becomes a secret, so that the files it comes from
// must be closed to others. Problems are returned, not only the first.
func substitute(n *node, secret bool) (substitution, []string) {
	if !strings.Contains(n.text, "${") {
		return substitution{text: n.text}, nil
	}
	var (
		s        substitution
		out      strings.Builder
		problems []string
	)
	rest := n.text
	for {
		m := schemeRE.FindStringIndex(rest)
		if m == nil {
			break
		}
		start := m[0]
		out.WriteString(rest[:start])
		if rest[start:m[1]] == "$${" {
			out.WriteString("${")
			rest = rest[m[1]:]
			continue
		}
		body, after, ok := strings.Cut(rest[start+2:], "}")
		if !ok {
			problems = append(problems, "the `${` has no `}` after it (write `$${` for the characters themselves)")
			rest = rest[start+2:]
			continue
		}
		rest = after
		value, problem := resolve(n.at.src.dir, body, secret)
		if problem != "" {
			problems = append(problems, problem)
		}
		out.WriteString(value)
		s.done = true
		s.hidden = s.hidden || !strings.HasPrefix(body, "env:")
	}
	out.WriteString(rest)
	s.text = out.String()
	return s, problems
}

// resolve returns the value of the inside of one `${…}`.
func resolve(dir, body string, secret bool) (value, problem string) {
	scheme, arg, _ := strings.Cut(body, ":")
	switch scheme {
	case "env":
		return resolveEnv(arg)
	case "file":
		if arg == "" {
			return "", "`${file:}` names no file"
		}
		if !filepath.IsAbs(arg) {
			arg = filepath.Join(dir, arg)
		}
		return readSubstitute(arg, secret)
	case "cred":
		credentials := os.Getenv("CREDENTIALS_DIRECTORY")
		if credentials == "" {
			return "", fmt.Sprintf("cannot read credential %s: CREDENTIALS_DIRECTORY is not set (systemd sets it for units with LoadCredential=)", arg)
		}
		if arg == "" || arg != filepath.Base(arg) || arg == ".." {
			return "", fmt.Sprintf("%q is not the name of a credential", arg)
		}
		return readSubstitute(filepath.Join(credentials, arg), false)
	}
	if secret {
		return "", "`${…:` starts a substitution, and there are env, file and cred; write `$${` for the characters themselves"
	}
	hint := suggest(scheme, []string{"env", "file", "cred"})
	if scheme == strings.ToUpper(scheme) {
		hint = fmt.Sprintf(" (for the environment variable write `${env:%s}`)", body)
	}
	return "", fmt.Sprintf("`${%s:…}` is not a substitution: there are env, file and cred%s; write `$${` for the characters themselves", scheme, hint)
}

var envNameRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// resolveEnv takes `X`, `X:-default` (used when X is not set or empty) and
// `X:?message`.
func resolveEnv(arg string) (value, problem string) {
	name, fallback, _ := strings.Cut(arg, ":")
	if !envNameRE.MatchString(name) {
		return "", fmt.Sprintf("%q is not the name of an environment variable", name)
	}
	value, ok := os.LookupEnv(name)
	switch {
	case fallback == "" && name == arg:
		if !ok {
			return "", fmt.Sprintf("the environment variable %s is not set (a default is written `${env:%s:-default}`)", name, name)
		}
	case strings.HasPrefix(fallback, "-"):
		if value == "" {
			value = fallback[1:]
		}
	case strings.HasPrefix(fallback, "?"):
		if value == "" {
			return "", fmt.Sprintf("the environment variable %s is not set: %s", name, fallback[1:])
		}
	default:
		return "", fmt.Sprintf("after `env:%s` comes `}`, `:-default` or `:?message`", name)
	}
	return value, ""
}

// readSubstitute reads a file for a substitution and drops the line break at
// its end.
func readSubstitute(path string, secret bool) (value, problem string) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Sprintf("cannot read the file for the value: %v", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Sprintf("cannot read the value from %s: it is not a regular file", path)
	}
	if info.Size() > substituteBytesMax {
		return "", fmt.Sprintf("cannot read the value from %s: it is larger than %s", path, Size(substituteBytesMax))
	}
	if secret && openToOthers(info) {
		return "", fmt.Sprintf("the secret file %s can be read by other users (mode %04o): run `chmod 600 %s`", path, info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Sprintf("cannot read the file for the value: %v", err)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), ""
}

// openToOthers is true when group or world can read. Windows has no such bits.
func openToOthers(info os.FileInfo) bool {
	return os.PathSeparator == '/' && info.Mode().Perm()&0o044 != 0
}
