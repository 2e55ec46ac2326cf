package pattern

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
)

// explainError says where a pattern is wrong and what can be done about it.
func explainError(expr string, err error) error {
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		return fmt.Errorf("cannot compile pattern: %w", err)
	}
	at := strings.Index(expr, fault.Expr)
	switch fault.Code {
	case syntax.ErrMissingParen:
		at = unclosed(expr)
	case syntax.ErrUnexpectedParen:
		at = unopened(expr)
	}
	where := ""
	if at >= 0 && at < len(expr) {
		where = fmt.Sprintf(" at byte %d, near `%s`", at+1, near(expr[at:]))
	}
	return fmt.Errorf("cannot compile pattern%s: %w%s", where, err, advice(fault))
}

func near(rest string) string {
	const shown = 24
	cut := 0
	for i := range rest {
		if i > shown {
			return rest[:cut] + "..."
		}
		cut = i
	}
	return rest
}

func advice(fault *syntax.Error) string {
	const re2 = "; patterns use RE2 syntax, which has no "
	switch fault.Code {
	case syntax.ErrInvalidRepeatOp:
		return re2 + "possessive or doubled repetition: leave the second sign out"
	case syntax.ErrMissingRepeatArgument:
		return "; to match the character itself, put a backslash before it"
	case syntax.ErrInvalidEscape:
		if isBackreference(fault.Expr) {
			return unsupported(fault.Expr)
		}
		return "; patterns use RE2 syntax: leave the backslash out, or double it to match a backslash"
	case syntax.ErrMissingParen:
		return `; close the group with ")", or write "\(" to match the character`
	case syntax.ErrUnexpectedParen:
		return `; no group is open here: write "\)" to match the character`
	case syntax.ErrMissingBracket:
		return `; close the class with "]", or write "\[" to match the character`
	case syntax.ErrInvalidRepeatSize:
		return "; a repetition can be at most 1000"
	case syntax.ErrInvalidUTF8:
		return `; save the pattern as UTF-8, and write single bytes as \x..`
	default:
		return unsupported(fault.Expr)
	}
}

// unsupported explains syntax that other engines have and RE2 has not.
func unsupported(e string) string {
	const re2 = "; patterns use RE2 syntax, which has no "
	switch {
	case strings.HasPrefix(e, "(?=") || strings.HasPrefix(e, "(?!"):
		return re2 + "look-ahead: match the text itself, and put what you need of it in a group"
	case strings.HasPrefix(e, "(?<=") || strings.HasPrefix(e, "(?<!"):
		return re2 + "look-behind: match the text itself, and put what you need of it in a group"
	case strings.HasPrefix(e, "(?>"):
		return re2 + "atomic groups: write (?:...), matching takes linear time anyway"
	case strings.HasPrefix(e, "(?P=") || isBackreference(e):
		return re2 + "backreferences: write the part out again"
	case strings.HasPrefix(e, "(?"):
		return re2 + "such group: it knows (?:...), (?P<name>...), (?<name>...) and the flags i, m, s, U"
	default:
		return "; see https://github.com/google/re2/wiki/Syntax for the RE2 syntax"
	}
}

func isBackreference(e string) bool {
	return len(e) >= 2 && e[0] == '\\' && ('1' <= e[1] && e[1] <= '9' || e[1] == 'k' || e[1] == 'g')
}

// unclosed returns the position of the first group that is never closed.
func unclosed(expr string) int {
	open, _ := parens(expr)
	if len(open) == 0 {
		return -1
	}
	return open[0]
}

// unopened returns the position of the first ")" without a group.
func unopened(expr string) int {
	_, extra := parens(expr)
	return extra
}

// parens returns the positions of the groups left open, and of the first ")"
// that closes none, or -1.
func parens(expr string) (open []int, extra int) {
	class := false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
			if strings.HasPrefix(expr[i+1:], "^]") {
				i += 2
			} else if strings.HasPrefix(expr[i+1:], "]") {
				i++
			}
		case c == '(':
			open = append(open, i)
		case c == ')':
			if len(open) == 0 {
				return nil, i
			}
			open = open[:len(open)-1]
		}
	}
	return open, -1
}
