// Package signature signs Log Service requests and verifies them, in the
// versions V1 (HMAC-SHA1) and V4 (SLS4-HMAC-SHA256).
//
// It promises that a request which verifies was signed by the holder of the
// secret, for this method, path, query, host (V4) and body, at the time it
// says, within the window. It does not remember requests: whoever must refuse a
// second copy of one keeps Identity.KeyID and Identity.Signature for the
// window. Headers outside of x-log-, x-acs-, Host, Content-Type, Content-MD5 and
// Date are not covered, and neither are x-log-meta- headers.
//
// It starts no goroutines, and keeps neither requests nor bodies.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Version of the signature.
type Version uint8

// The versions.
const (
	V1 Version = 1
	V4 Version = 4
)

// Names of the headers, in the form http.Header keeps them.
const (
	headerAPIVersion    = "X-Log-Apiversion"
	headerMethod        = "X-Log-Signaturemethod"
	headerLogDate       = "X-Log-Date"
	headerSHA256        = "X-Log-Content-Sha256"
	headerMD5           = "Content-Md5"
	headerSecurityToken = "X-Acs-Security-Token" //nolint:gosec // a name
	headerContentType   = "Content-Type"
	headerAuthorization = "Authorization"
)

const (
	apiVersion = "0.6.0"
	methodV1   = "hmac-sha1"
	schemeV1   = "LOG "
	schemeV4   = "SLS4-HMAC-SHA256"
	prefixV4   = schemeV4 + " Credential="
	serviceV4  = "sls"
	endV4      = "aliyun_v4_request"
	dateV4     = "20060102T150405Z"
	// dateV1 takes days of one and of two digits.
	dateV1    = "Mon, 2 Jan 2006 15:04:05 GMT"
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Credentials of one sender. SecurityToken is empty for permanent keys.
type Credentials struct{ KeyID, Secret, SecurityToken string }

// Options of one signature.
type Options struct {
	Version Version
	// Region is part of a V4 signature, and not used by V1.
	Region string
	// Now is the time to sign; the receiver refuses one too far from its own.
	Now time.Time
}

// message is a request and what is signed of it beside its headers.
type message struct {
	*http.Request
	query []param
	body  []byte
}

// signedHeader is one line of the canonical headers.
type signedHeader struct{ name, value string }

// lowerNames are the lower-case forms of headers that most requests have, so
// that signing does not make them anew.
var lowerNames = map[string]string{ //nolint:gosec // names
	headerAPIVersion:     "x-log-apiversion",
	"X-Log-Bodyrawsize":  "x-log-bodyrawsize",
	"X-Log-Compresstype": "x-log-compresstype",
	headerMethod:         "x-log-signaturemethod",
	headerLogDate:        "x-log-date",
	headerSHA256:         "x-log-content-sha256",
	headerSecurityToken:  "x-acs-security-token",
	"X-Log-Project":      "x-log-project",
	"Content-Length":     "",
	"Content-Encoding":   "",
	headerMD5:            "",
	headerContentType:    "",
	headerAuthorization:  "",
	"Date":               "",
	"User-Agent":         "",
	"Accept":             "",
	"Accept-Encoding":    "",
	"Traceparent":        "",
}

// appendSignedHeaders appends the x-log- and x-acs- headers of h, sorted by
// name, except those that skip returns true for. skip gets lower-case names.
func appendSignedHeaders(dst []signedHeader, h http.Header, skip func(name string) bool) []signedHeader {
	for name, values := range h {
		lower, known := lowerNames[name]
		if !known {
			lower = strings.ToLower(name)
			if !strings.HasPrefix(lower, "x-log-") && !strings.HasPrefix(lower, "x-acs-") {
				continue
			}
		}
		if lower == "" || skip(lower) {
			continue
		}
		dst = append(dst, signedHeader{lower, joinedValue(values)})
	}
	slices.SortFunc(dst, func(a, b signedHeader) int { return strings.Compare(a.name, b.name) })
	return dst
}

// joinedValue is the value that is signed. No sender repeats a signed header;
// one that was repeated on the way must not verify.
func joinedValue(values []string) string {
	if len(values) == 1 {
		return strings.TrimSpace(values[0])
	}
	return strings.Join(values, ", ")
}

// hostOf returns the host that is, or was, sent.
func hostOf(r *http.Request) string {
	if r.Host != "" || r.URL == nil {
		return r.Host
	}
	return r.URL.Host
}

// pathOf returns the escaped path as it is sent.
func pathOf(r *http.Request) string {
	if p := r.URL.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// canonicalV4 appends the canonical request. host may be empty; hash is the
// value of x-log-content-sha256.
func canonicalV4(dst []byte, m *message, host, hash string) []byte {
	var room [16]signedHeader
	headers := room[:0]
	if host != "" {
		headers = append(headers, signedHeader{"host", host})
	}
	if values := m.Header[headerContentType]; len(values) > 0 {
		headers = append(headers, signedHeader{"content-type", joinedValue(values)})
	}
	headers = appendSignedHeaders(headers, m.Header, func(name string) bool {
		return strings.HasPrefix(name, "x-log-meta-")
	})

	dst = append(dst, m.Method...)
	dst = append(dst, '\n')
	dst = append(dst, pathOf(m.Request)...)
	dst = append(dst, '\n')
	dst = appendQueryV4(dst, m.query)
	dst = append(dst, '\n')
	for _, h := range headers {
		dst = append(dst, h.name...)
		dst = append(dst, ':')
		dst = append(dst, h.value...)
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ';')
		}
		dst = append(dst, h.name...)
	}
	dst = append(dst, '\n')
	return append(dst, hash...)
}

// keyV4 derives the signing key of a day and a region.
func keyV4(secret, day, region string) []byte {
	key := hmacSHA256([]byte("aliyun_v4"+secret), []byte(day))
	key = hmacSHA256(key, []byte(region))
	key = hmacSHA256(key, []byte(serviceV4))
	return hmacSHA256(key, []byte(endV4))
}

func hmacSHA256(key, data []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(data)
	return m.Sum(nil)
}

// signatureV4 returns the lower-case hex signature of a canonical request.
func signatureV4(key, canonical []byte, date, region string) string {
	var room [256]byte
	text := append(room[:0], schemeV4+"\n"...)
	text = append(text, date...)
	text = append(text, '\n')
	text = appendScope(text, date[:8], region)
	text = append(text, '\n')
	sum := sha256.Sum256(canonical)
	text = hex.AppendEncode(text, sum[:])
	return hex.EncodeToString(hmacSHA256(key, text))
}

func appendScope(dst []byte, day, region string) []byte {
	dst = append(dst, day...)
	dst = append(dst, '/')
	dst = append(dst, region...)
	return append(dst, "/"+serviceV4+"/"+endV4...)
}

// canonicalV1 appends the string to sign of V1.
func canonicalV1(dst []byte, m *message, date string, skip func(string) bool) []byte {
	for _, line := range [...]string{m.Method, m.Header.Get(headerMD5), m.Header.Get(headerContentType), date} {
		dst = append(dst, line...)
		dst = append(dst, '\n')
	}
	var room [16]signedHeader
	for i, h := range appendSignedHeaders(room[:0], m.Header, skip) {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = append(dst, h.name...)
		dst = append(dst, ':')
		dst = append(dst, h.value...)
	}
	dst = append(dst, '\n')
	dst = append(dst, pathOf(m.Request)...)
	return appendQueryV1(dst, m.query)
}
