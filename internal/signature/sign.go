package signature

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // The protocol's V1 is defined with it.
	"crypto/sha1" //nolint:gosec // The protocol's V1 is defined with it.
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Signer signs requests. It keeps the V4 key of the last day, region and
// secret, which saves four of five hashes. The zero value is ready. Safe for
// concurrent use.
type Signer struct {
	derived atomic.Pointer[derivedKey]
}

type derivedKey struct {
	secret, day, region string
	key                 []byte
}

// Sign signs r with a new Signer; use a Signer for more than one request.
func Sign(r *http.Request, body []byte, c Credentials, o Options) error {
	return new(Signer).Sign(r, body, c, o)
}

// Sign sets the headers of a signed request on r: x-log-apiversion unless it is
// set, x-acs-security-token, those of the version's date, body hash and method,
// and Authorization. body is what will be sent, after compression. Every other
// x-log- and x-acs- header, Content-Type, the host, path and query are part of
// the signature, so they must not change afterwards. A request may be signed
// again. The error says why a request cannot be signed; it then is unchanged or
// half signed.
func (s *Signer) Sign(r *http.Request, body []byte, c Credentials, o Options) error {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("cannot sign the request: %w", err)
	}
	if strings.ContainsAny(c.KeyID, ":/, ") || c.KeyID == "" {
		return fmt.Errorf("cannot sign the request: the access key id is empty or not one")
	}
	if r.Header.Get(headerAPIVersion) == "" {
		r.Header.Set(headerAPIVersion, apiVersion)
	}
	if c.SecurityToken != "" {
		r.Header.Set(headerSecurityToken, c.SecurityToken)
	} else {
		r.Header.Del(headerSecurityToken)
	}
	switch o.Version {
	case V1:
		signV1(&message{r, query, body}, c, o)
	case V4:
		s.signV4(&message{r, query, body}, c, o)
	default:
		return fmt.Errorf("cannot sign the request: there is no signature version %d", o.Version)
	}
	return nil
}

func (s *Signer) signV4(m *message, c Credentials, o Options) {
	m.Header.Del(headerMethod)
	now := o.Now.UTC()
	date := now.Format(dateV4)
	hash := hashV4(m.body)
	m.Header.Set(headerLogDate, date)
	m.Header.Set(headerSHA256, hash)

	var room [1024]byte
	canonical := canonicalV4(room[:0], m, hostOf(m.Request), hash)
	sum := signatureV4(s.keyV4(c.Secret, date[:8], o.Region), canonical, date, o.Region)

	value := make([]byte, 0, 256)
	value = append(value, prefixV4...)
	value = append(value, c.KeyID...)
	value = append(value, '/')
	value = appendScope(value, date[:8], o.Region)
	value = append(value, ",Signature="...)
	value = append(value, sum...)
	m.Header.Set(headerAuthorization, string(value))
}

func (s *Signer) keyV4(secret, day, region string) []byte {
	if d := s.derived.Load(); d != nil && d.day == day && d.region == region && d.secret == secret {
		return d.key
	}
	d := &derivedKey{secret: secret, day: day, region: region, key: keyV4(secret, day, region)}
	s.derived.Store(d)
	return d.key
}

func hashV4(body []byte) string {
	if len(body) == 0 {
		return emptyHash
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func signV1(m *message, c Credentials, o Options) {
	m.Header.Del(headerLogDate)
	m.Header.Del(headerSHA256)
	date := o.Now.UTC().Format(http.TimeFormat)
	m.Header.Set("Date", date)
	m.Header.Set(headerMethod, methodV1)
	if len(m.body) > 0 {
		m.Header.Set(headerMD5, hashV1(m.body))
	} else {
		m.Header.Del(headerMD5)
	}
	var room [1024]byte
	text := canonicalV1(room[:0], m, date, func(string) bool { return false })
	m.Header.Set(headerAuthorization, schemeV1+c.KeyID+":"+signatureV1(c.Secret, text))
}

func hashV1(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // As above.
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func signatureV1(secret string, text []byte) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write(text)
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// parseDateV1 reads the Date header of a V1 request.
func parseDateV1(s string) (time.Time, error) { return time.ParseInLocation(dateV1, s, time.UTC) }
