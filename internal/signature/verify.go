package signature

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// windowDefault is the clock skew Log Service accepts.
const windowDefault = 15 * time.Minute

// Verifier checks signed requests. Its fields must not change after the first
// call. Safe for concurrent use if Secret and Now are.
type Verifier struct {
	// Secret returns the secret of a key. Required.
	Secret func(keyID string) (string, bool)
	// Window is how far the request's time may be from Now, either way; 0
	// means 15 minutes.
	Window time.Duration
	// AllowUnhashedBody accepts bodies that the signature does not cover, which
	// some senders choose: V1 without Content-MD5, V4 with the hash of nothing.
	AllowUnhashedBody bool
	// AllowV1 accepts the older version, which stands on SHA-1 and MD5.
	AllowV1 bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Identity is who signed a request, and what makes the request unique.
type Identity struct {
	KeyID, Signature string
	// Time is when the request says it was signed.
	Time    time.Time
	Version Version
}

// Error is why a request was refused: an HTTP status, the error code of Log
// Service for it, and a message that is safe to send to anyone.
type Error struct {
	Status        int
	Code, Message string
}

// Error returns the code and the message.
func (e *Error) Error() string { return "cannot verify the request: " + e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func unauthorized(message string) *Error {
	return refuse(http.StatusUnauthorized, "Unauthorized", "%s", message)
}

func notMatched(id string) *Error {
	return refuse(http.StatusUnauthorized, "SignatureNotMatch",
		"The signature of access key %.64q does not match the request.", id)
}

// Verify checks the signature, the time and the hash of the body, in this
// order, and returns who signed. body is what was received, before it is
// inflated. The error, if any, is a *Error.
func (v *Verifier) Verify(r *http.Request, body []byte) (Identity, error) {
	values := r.Header[headerAuthorization]
	if len(values) != 1 {
		return Identity{}, unauthorized("The request must have one Authorization header.")
	}
	var id Identity
	var err *Error
	switch {
	case strings.HasPrefix(values[0], prefixV4):
		id, err = v.verifyV4(r, body, values[0])
	case strings.HasPrefix(values[0], schemeV1) && v.AllowV1:
		id, err = v.verifyV1(r, body, values[0])
	case strings.HasPrefix(values[0], schemeV1):
		err = unauthorized("Signatures of version 1 are not accepted here: sign with version 4.")
	default:
		err = unauthorized("The Authorization header is of no version known here.")
	}
	if err != nil {
		return Identity{}, err
	}
	return id, nil
}

// credentialV4 is an Authorization header, taken apart.
type credentialV4 struct{ id, day, region, signature string }

func parseV4(authorization string) (c credentialV4, ok bool) {
	rest, ok := strings.CutPrefix(authorization, prefixV4)
	if !ok {
		return c, false
	}
	rest, c.signature, ok = strings.Cut(rest, ",")
	if !ok {
		return c, false
	}
	if c.signature, ok = strings.CutPrefix(strings.TrimLeft(c.signature, " "), "Signature="); !ok || len(c.signature) != 64 {
		return c, false
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[0] == "" || parts[3] != serviceV4 || parts[4] != endV4 {
		return c, false
	}
	c.id, c.day, c.region = parts[0], parts[1], parts[2]
	return c, true
}

func (v *Verifier) verifyV4(r *http.Request, body []byte, authorization string) (Identity, *Error) {
	c, ok := parseV4(authorization)
	if !ok {
		return Identity{}, unauthorized("The Authorization header cannot be read.")
	}
	date := r.Header.Get(headerLogDate)
	if date == "" {
		return Identity{}, refuse(http.StatusBadRequest, "MissingDate", "The header x-log-date is missing.")
	}
	t, err := time.Parse(dateV4, date)
	if err != nil || len(date) != len(dateV4) {
		return Identity{}, refuse(http.StatusBadRequest, "InvalidDateFormat", "The header x-log-date must look like 20060102T150405Z.")
	}
	if err := v.checkTime(t); err != nil {
		return Identity{}, err
	}
	hash := r.Header.Get(headerSHA256)
	if hash == "" || c.day != date[:8] {
		return Identity{}, unauthorized("The scope of the signature is not its date, or x-log-content-sha256 is missing.")
	}
	secret, known := v.Secret(c.id)
	if !known {
		return Identity{}, unknownKey(c.id)
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil || !matchesV4(&message{r, query, body}, c, secret) {
		return Identity{}, notMatched(c.id)
	}
	if !equal(hash, hashV4(body)) && (hash != emptyHash || !v.AllowUnhashedBody) {
		return Identity{}, refuse(http.StatusUnauthorized, "SignatureNotMatch",
			"The header x-log-content-sha256 is not the hash of the body.")
	}
	return Identity{KeyID: c.id, Signature: c.signature, Time: t, Version: V4}, nil
}

// matchesV4 tries the host as it was received and, since some senders sign it
// so, without its port.
func matchesV4(m *message, c credentialV4, secret string) bool {
	key := keyV4(secret, c.day, c.region)
	date, hash := m.Header.Get(headerLogDate), m.Header.Get(headerSHA256)
	host := hostOf(m.Request)
	if equal(c.signature, signatureV4(key, canonicalV4(nil, m, host, hash), date, c.region)) {
		return true
	}
	bare := withoutPort(host)
	return bare != host &&
		equal(c.signature, signatureV4(key, canonicalV4(nil, m, bare, hash), date, c.region))
}

func withoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		return host
	}
	return host[:i]
}

func (v *Verifier) verifyV1(r *http.Request, body []byte, authorization string) (Identity, *Error) {
	id, sum, ok := strings.Cut(strings.TrimPrefix(authorization, schemeV1), ":")
	if !ok || id == "" || sum == "" {
		return Identity{}, unauthorized("The Authorization header cannot be read.")
	}
	switch r.Header.Get(headerMethod) {
	case methodV1:
	case "":
		return Identity{}, refuse(http.StatusBadRequest, "MissingSignatureMethod", "The header x-log-signaturemethod is missing.")
	default:
		return Identity{}, refuse(http.StatusBadRequest, "InvalidSignatureMethod", "The header x-log-signaturemethod must be hmac-sha1.")
	}
	secret, known := v.Secret(id)
	if !known {
		return Identity{}, unknownKey(id)
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return Identity{}, notMatched(id)
	}
	t, refused := v.matchV1(&message{r, query, body}, id, sum, secret)
	if refused != nil {
		return Identity{}, refused
	}
	switch hash := r.Header.Get(headerMD5); {
	case hash == "" && (len(body) == 0 || v.AllowUnhashedBody):
	case hash == "":
		return Identity{}, unauthorized("The signature does not cover the body: send the header Content-MD5.")
	case !equal(hash, hashV1(body)):
		return Identity{}, refuse(http.StatusUnauthorized, "SignatureNotMatch",
			"The header Content-MD5 is not the hash of the body.")
	}
	return Identity{KeyID: id, Signature: sum, Time: t, Version: V1}, nil
}

// matchV1 finds the reading of the headers that the signature is of, and checks
// the date that reading covers. x-log-date may be a copy of Date, added after
// signing because some hosts rewrite Date: then it stands in Date's place and
// is not a canonical header. x-log-meta- headers may be left out.
func (v *Verifier) matchV1(m *message, id, sum, secret string) (time.Time, *Error) {
	date, copied := m.Header.Get("Date"), m.Header.Get(headerLogDate)
	if date == "" && copied == "" {
		return time.Time{}, refuse(http.StatusBadRequest, "MissingDate", "The header Date is missing.")
	}
	var skewed *Error
	for _, signed := range [...]string{copied, date} {
		if signed == "" {
			continue
		}
		t, err := parseDateV1(signed)
		if err != nil {
			return t, refuse(http.StatusBadRequest, "InvalidDateFormat", "The header Date must look like Mon, 02 Jan 2006 15:04:05 GMT.")
		}
		if refused := v.checkTime(t); refused != nil {
			skewed = refused
			continue
		}
		matched := false
		for _, meta := range [...]bool{true, false} {
			text := canonicalV1(nil, m, signed, func(name string) bool {
				return name == "x-log-date" && signed == copied || !meta && strings.HasPrefix(name, "x-log-meta-")
			})
			matched = matched || equal(sum, signatureV1(secret, text))
		}
		if !matched && copied == date {
			// The same date in both places, and both signed.
			text := canonicalV1(nil, m, date, func(string) bool { return false })
			matched = equal(sum, signatureV1(secret, text))
		}
		if matched {
			return t, nil
		}
	}
	if skewed != nil {
		// A wrong clock is the more useful thing to hear about.
		return time.Time{}, skewed
	}
	return time.Time{}, notMatched(id)
}

func unknownKey(id string) *Error {
	return refuse(http.StatusUnauthorized, "InvalidAccessKeyId", "The access key id %.64q is not known.", id)
}

func (v *Verifier) checkTime(t time.Time) *Error {
	now, window := time.Now, v.Window
	if v.Now != nil {
		now = v.Now
	}
	if window == 0 {
		window = windowDefault
	}
	switch ahead := t.Sub(now()); {
	case ahead > window:
		return refuse(http.StatusBadRequest, "RequestTimeTooSkewed",
			"The request time is %s ahead of the server's; at most %s is accepted.", ahead.Round(time.Second), window)
	case ahead < -window:
		return refuse(http.StatusBadRequest, "RequestTimeExpired",
			"The request time is %s behind the server's; at most %s is accepted.", -ahead.Round(time.Second), window)
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
