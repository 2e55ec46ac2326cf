package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. In a configuration it is written with a unit:
// `256MiB`, `20MB`, `1.5GiB`, or as plain bytes.
type Size int64

// Units of Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// sizeUnits are the units ParseSize knows. Binary ones come first, so that
// String prefers them.
func sizeUnits() []struct {
	name  string
	bytes Size
} {
	return []struct {
		name  string
		bytes Size
	}{
		{"TiB", TiB},
		{"GiB", GiB},
		{"MiB", MiB},
		{"KiB", KiB},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"KB", 1e3},
		{"B", 1},
	}
}

var errSize = errors.New("expects a size such as 64MiB, 20MB or a number of bytes")

// ParseSize reads a size. Negative sizes are errors.
func ParseSize(s string) (Size, error) {
	number, unit := s, Size(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	if !isDecimal(number) {
		return 0, errSize
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/int64(unit) {
			return 0, errors.New("is larger than any size the program can hold (8EiB)")
		}
		return Size(n) * unit, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, errSize
	}
	f *= float64(unit)
	if f >= math.MaxInt64 {
		return 0, errors.New("is larger than any size the program can hold (8EiB)")
	}
	if f != math.Trunc(f) {
		return 0, errors.New("is not a whole number of bytes")
	}
	return Size(f), nil
}

// isDecimal is true for digits with at most one point between them.
func isDecimal(s string) bool {
	whole, part, point := strings.Cut(s, ".")
	if whole == "" || point && part == "" {
		return false
	}
	for _, c := range whole + part {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// String is the size in the largest unit that divides it: `256MiB`.
func (s Size) String() string {
	if s != 0 {
		for _, u := range sizeUnits() {
			if u.bytes > 1 && s%u.bytes == 0 {
				return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalText reads what ParseSize reads.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// mask is printed in the place of a secret.
const mask = "***"

// Secret is text that no log, error, dump or %v shows: it prints as `***`.
type Secret string

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String is `***`, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format prints String whatever the verb is, %x and %#v included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText is String: an encoder cannot see the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// ParseDuration reads a duration in Go's syntax with days in front of it:
// `10s`, `1h30m`, `2d`, `1d12h`. Negative durations are errors, and so are
// numbers without a unit, except 0.
func ParseDuration(s string) (time.Duration, error) {
	rest, total := s, time.Duration(0)
	if days, after, ok := strings.Cut(s, "d"); ok && isDecimal(days) {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n > math.MaxInt64/float64(24*time.Hour)/2 {
			return 0, errors.New("is longer than any duration the program can hold (292 years)")
		}
		total, rest = time.Duration(n*float64(24*time.Hour)), after
		if rest == "" {
			return total, nil
		}
	}
	if isDecimal(s) && strings.Trim(s, "0.") != "" {
		return 0, fmt.Errorf("expects a duration with a unit: %ss for seconds, %sm for minutes", s, s)
	}
	d, err := time.ParseDuration(rest)
	if err != nil || strings.HasPrefix(rest, "+") {
		return 0, errors.New("expects a duration such as 500ms, 10s, 5m or 2d")
	}
	if d < 0 {
		return 0, errors.New("expects a duration that is not negative")
	}
	if total += d; total < 0 {
		return 0, errors.New("is longer than any duration the program can hold (292 years)")
	}
	return total, nil
}

// formatDuration is the shortest text that ParseDuration reads back as d.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
