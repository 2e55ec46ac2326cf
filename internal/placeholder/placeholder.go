// Package placeholder fills in texts such as `logs-{logstore}-{%Y.%m.%d}`: the names
// of indexes, topics and paths that records go to.
//
// It promises that what is between the placeholders stays as it is, and that dates
// are those of UTC. It starts no goroutines; a Template is safe for concurrent use.
package placeholder

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/timefmt-go"
)

// Values take the places of {logstore}, {pipeline} and {host}.
type Values struct{ Logstore, Pipeline, Host string }

// Template is a parsed text.
type Template struct {
	parts []part
	dated bool
}

// part is a literal, the name of a value, or the format of a date.
type part struct{ literal, value, date string }

// DateStep is how long a text with dates stays the same, at least, from a whole
// hour of UTC on.
const DateStep = time.Hour

const dateVerbs = "YymdHjGVuUWaAbB%"

var errBrace = errors.New("has a { without a }, or a } without a {")

// Parse reads a text. Dates in it are errors unless dates is true.
func Parse(text string, dates bool) (*Template, error) {
	t := &Template{}
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, errBrace
		}
		if literal != "" {
			t.parts = append(t.parts, part{literal: literal})
		}
		if !found {
			break
		}
		name, after, found := strings.Cut(rest, "}")
		if !found || strings.Contains(name, "{") {
			return nil, errBrace
		}
		text = after
		switch {
		case slices.Contains([]string{"logstore", "pipeline", "host"}, name):
			t.parts = append(t.parts, part{value: name})
		case strings.HasPrefix(name, "%"):
			if err := checkDate(name, dates); err != nil {
				return nil, err
			}
			t.dated = true
			t.parts = append(t.parts, part{date: name})
		default:
			return nil, fmt.Errorf("has {%s}, which means nothing: there are {logstore}, {pipeline}, {host} and dates such as {%%Y.%%m.%%d}", name)
		}
	}
	return t, nil
}

func checkDate(format string, dates bool) error {
	if !dates {
		return fmt.Errorf("has the date {%s}, and a date cannot be in it", format)
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		if i++; i == len(format) || !strings.Contains(dateVerbs, format[i:i+1]) {
			return fmt.Errorf("has the date {%s}: after each %% there must be one of %s, nothing finer than hours", format, dateVerbs)
		}
	}
	return nil
}

// Dated is true if the text changes with time.
func (t *Template) Dated() bool { return t.dated }

// Fill returns the text for values and a time.
func (t *Template) Fill(v Values, at time.Time) string {
	var b []byte
	for _, p := range t.parts {
		switch {
		case p.literal != "":
			b = append(b, p.literal...)
		case p.date != "":
			b = timefmt.AppendFormat(b, at.UTC(), p.date)
		case p.value == "logstore":
			b = append(b, v.Logstore...)
		case p.value == "pipeline":
			b = append(b, v.Pipeline...)
		default:
			b = append(b, v.Host...)
		}
	}
	return string(b)
}
