package signature

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// param is one parameter of a query, unescaped.
type param struct{ name, value string }

var errQuery = errors.New("the query cannot be signed without doubt about what it says")

// parseQuery returns the parameters sorted by name. It refuses what would leave
// two readings of one signature: bad escapes, and names that are repeated or
// hold a separator (names are signed as they are, not escaped).
func parseQuery(raw string) ([]param, error) {
	if raw == "" {
		return nil, nil
	}
	var params []param
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		if strings.Contains(piece, ";") {
			return nil, errQuery
		}
		name, value, _ := strings.Cut(piece, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil || strings.ContainsAny(name, "&=\n") {
			return nil, errQuery
		}
		params = append(params, param{name, value})
	}
	slices.SortFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(params); i++ {
		if params[i].name == params[i-1].name {
			return nil, errQuery
		}
	}
	return params, nil
}

func appendQueryV4(dst []byte, query []param) []byte {
	for i, p := range query {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, p.name...)
		if p.value != "" {
			dst = append(dst, '=')
			dst = appendEscaped(dst, p.value)
		}
	}
	return dst
}

func appendQueryV1(dst []byte, query []param) []byte {
	for i, p := range query {
		sep := byte('&')
		if i == 0 {
			sep = '?'
		}
		dst = append(dst, sep)
		dst = append(dst, p.name...)
		dst = append(dst, '=')
		dst = append(dst, p.value...)
	}
	return dst
}

// appendEscaped escapes by RFC 3986: all but letters, digits and -._~.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
