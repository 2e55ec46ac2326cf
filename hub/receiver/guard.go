package receiver

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/wasmtail/wasmtail/internal/signature"
)

const (
	// clockWindow is how far a request's time may be from ours: Log Service's.
	clockWindow = 15 * time.Minute
	// nameBytesMax bounds the names of projects and log stores.
	nameBytesMax = 128
)

// Access decides who may do what. Safe for concurrent use.
type Access struct {
	Keys Keys
	// AllowV1 accepts signatures that stand on SHA-1 and MD5.
	AllowV1 bool
	// AllowUnhashedBody accepts bodies that the signature does not cover.
	AllowUnhashedBody bool
	// DefaultProject is meant by a request that names none.
	DefaultProject string
	// Endpoint is the host name of the hub itself: what stands before it in a
	// request's Host is the project. Empty: the first label is, if the rest is an
	// address, localhost, or has two labels or more.
	Endpoint string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verify checks the signature of a request and that its key may use the
// project.
func (a *Access) Verify(r *http.Request, body []byte, project string) (signature.Identity, *Error) {
	v := signature.Verifier{
		Secret: a.Keys.Secret, Window: clockWindow,
		AllowUnhashedBody: a.AllowUnhashedBody, AllowV1: a.AllowV1, Now: a.Now,
	}
	id, err := v.Verify(r, body)
	if err != nil {
		var se *signature.Error
		if errors.As(err, &se) {
			return id, &Error{Status: se.Status, Code: se.Code, Message: se.Message}
		}
		return id, refuse(http.StatusUnauthorized, "Unauthorized", "The request cannot be verified.")
	}
	if !a.Keys[id.KeyID].Allows(project) {
		return id, refuse(http.StatusForbidden, "ProjectForbidden", "The access key may not use the project %q.", project)
	}
	return id, nil
}

// Project returns the project that a request names: by header, else in front of
// the host name, else the default.
func (a *Access) Project(r *http.Request) (string, *Error) {
	project := r.Header.Get("x-log-project")
	if project == "" {
		project = a.hostProject(r.Host)
	}
	if project == "" {
		project = a.DefaultProject
	}
	if !ValidName(project) {
		return "", bad("ParameterInvalid", "The project name is not valid: letters, digits, dash, dot and underscore, at most %d.", nameBytesMax)
	}
	return project, nil
}

func (a *Access) hostProject(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	if a.Endpoint != "" {
		project, ok := strings.CutSuffix(host, "."+strings.ToLower(a.Endpoint))
		if !ok {
			return ""
		}
		return project
	}
	if net.ParseIP(strings.Trim(host, "[]")) != nil {
		return ""
	}
	project, rest, ok := strings.Cut(host, ".")
	if !ok || (net.ParseIP(rest) == nil && rest != "localhost" && !strings.Contains(rest, ".")) {
		return ""
	}
	return project
}

// ValidName reports whether s can name a project or a log store.
func ValidName(s string) bool {
	if s == "" || len(s) > nameBytesMax || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
