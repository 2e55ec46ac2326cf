package signature

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	testKey  = Credentials{KeyID: "wtkey1", Secret: "a secret of some length"}
	testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	testBody = []byte("a compressed body")
)

func testVerifier() *Verifier {
	return &Verifier{
		Secret:  func(id string) (string, bool) { return testKey.Secret, id == testKey.KeyID },
		AllowV1: true,
		Now:     func() time.Time { return testTime },
	}
}

// TestGoldenV4 is the example of the protocol's documentation: a request
// without host, query or headers but those that signing adds.
func TestGoldenV4(t *testing.T) {
	r, err := http.NewRequest(http.MethodPost, "/logstores", nil)
	require.NoError(t, err)
	at, err := time.Parse(dateV4, "20220808T032330Z")
	require.NoError(t, err)
	body := []byte("adasd= -asd zcas")
	hash := hashV4(body)
	r.Header.Set(headerLogDate, "20220808T032330Z")
	r.Header.Set(headerSHA256, hash)
	key := keyV4("zxasdasdasw2", "20220808", "cn-shanghai")
	require.Equal(t, "8a10a5e723cb2e75964816de660b2c16a58af8bc0261f7f0722d832468c76ce8",
		signatureV4(key, canonicalV4(nil, &message{Request: r}, "", hash), "20220808T032330Z", "cn-shanghai"))

	v := testVerifier()
	v.Now = func() time.Time { return at }
	v.Secret = func(string) (string, bool) { return "zxasdasdasw2", true }
	r.Header.Set(headerAuthorization, "SLS4-HMAC-SHA256 Credential=acsddda21dsd/20220808/cn-shanghai/sls/aliyun_v4_request,"+
		"Signature=8a10a5e723cb2e75964816de660b2c16a58af8bc0261f7f0722d832468c76ce8")
	id, err := v.Verify(r, body)
	require.NoError(t, err)
	require.Equal(t, "acsddda21dsd", id.KeyID)
	require.Equal(t, V4, id.Version)
	require.True(t, id.Time.Equal(at))
}

func TestGoldenV1(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/logstores", nil)
	r.Header.Set("x-log-apiversion", "0.6.0")
	r.Header.Set("x-log-bodyrawsize", "0")
	r.Header.Set("x-log-signaturemethod", "hmac-sha1")
	r.Header.Set("Date", "Mon, 3 Jan 2010 08:33:47 GMT")
	r.Header.Set("Authorization", "LOG mockAccessKeyID:Rwm6cTKzoti4HWoe+GKcb6Kv07E=")
	v := testVerifier()
	v.Now = func() time.Time { return time.Date(2010, 1, 3, 8, 33, 47, 0, time.UTC) }
	v.Secret = func(string) (string, bool) { return "mockAccessKeySecret", true }
	id, err := v.Verify(r, nil)
	require.NoError(t, err)
	require.Equal(t, "mockAccessKeyID", id.KeyID)
}

// signed returns a request as the receiver sees it.
func signed(t require.TestingT, version Version, target string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("x-log-bodyrawsize", "1000")
	r.Header.Set("x-log-compresstype", "lz4")
	require.NoError(t, Sign(r, body, testKey, Options{Version: version, Region: "local", Now: testTime}))
	return r
}

const testTarget = "http://project.example.com:7070/logstores/my%20store/shards/lb?key=a%20b%2A~&type=log"

func TestSignedRequestsVerify(t *testing.T) {
	for _, version := range []Version{V1, V4} {
		for _, body := range [][]byte{nil, testBody} {
			id, err := testVerifier().Verify(signed(t, version, testTarget, body), body)
			require.NoError(t, err)
			require.Equal(t, testKey.KeyID, id.KeyID)
			require.Equal(t, version, id.Version)
			require.True(t, id.Time.Equal(testTime))
			require.NotEmpty(t, id.Signature)
		}
	}
}

func TestSecurityTokenIsSigned(t *testing.T) {
	for _, version := range []Version{V1, V4} {
		c := testKey
		c.SecurityToken = "token"
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		require.NoError(t, Sign(r, nil, c, Options{Version: version, Now: testTime}))
		_, err := testVerifier().Verify(r, nil)
		require.NoError(t, err)
		r.Header.Set("x-acs-security-token", "other")
		requireCode(t, r, nil, "SignatureNotMatch")
	}
}

func requireCode(t *testing.T, r *http.Request, body []byte, code string) {
	t.Helper()
	_, err := testVerifier().Verify(r, body)
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code, refused.Message)
	require.Contains(t, []int{400, 401}, refused.Status)
}

// TestOneBitChangedIsRefused changes every bit of everything that is signed.
func TestOneBitChangedIsRefused(t *testing.T) {
	for _, version := range []Version{V1, V4} {
		r := signed(t, version, testTarget, testBody)
		v := testVerifier()
		refused := func(what, value string) {
			if _, err := v.Verify(r, testBody); err == nil {
				t.Errorf("version %d verifies with %s = %q", version, what, value)
			}
		}
		headers := []string{"Authorization", "Content-Type", "X-Log-Bodyrawsize", "X-Log-Compresstype", "X-Log-Apiversion"}
		if version == V1 {
			headers = append(headers, "Content-Md5", "Date", "X-Log-Signaturemethod")
		} else {
			headers = append(headers, "X-Log-Content-Sha256", "X-Log-Date")
		}
		for _, name := range headers {
			valid := r.Header.Get(name)
			eachFlip(valid, func(value string) {
				if strings.TrimSpace(value) == valid {
					return
				}
				r.Header.Set(name, value)
				refused(name, value)
			})
			r.Header.Set(name, valid)
		}
		method, host, link := r.Method, r.Host, *r.URL
		eachFlip(method, func(value string) { r.Method = value; refused("method", value) })
		r.Method = method
		if version == V4 {
			eachFlip("project.example.com", func(value string) { r.Host = value + ":7070"; refused("host", value) })
			r.Host = host
		}
		eachFlip(link.Path, func(value string) { r.URL.Path, r.URL.RawPath = value, ""; refused("path", value) })
		*r.URL = link
		eachFlip(link.RawQuery, func(value string) {
			a, _ := parseQuery(link.RawQuery)
			if b, err := parseQuery(value); err == nil && slices.Equal(a, b) {
				return // the same query, written otherwise
			}
			r.URL.RawQuery = value
			refused("query", value)
		})
		*r.URL = link
		eachFlip(string(testBody), func(value string) {
			if _, err := v.Verify(r, []byte(value)); err == nil {
				t.Errorf("version %d verifies with body %q", version, value)
			}
		})
		_, err := v.Verify(r, testBody)
		require.NoError(t, err)
	}
}

// eachFlip calls f with every string that differs from s in one bit.
func eachFlip(s string, f func(string)) {
	for i := range len(s) {
		for bit := range 8 {
			p := []byte(s)
			p[i] ^= 1 << bit
			f(string(p))
		}
	}
}

func TestHeadersAddedOrRemovedAreRefused(t *testing.T) {
	for _, version := range []Version{V1, V4} {
		r := signed(t, version, testTarget, testBody)
		r.Header.Set("x-log-extra", "1")
		requireCode(t, r, testBody, "SignatureNotMatch")
		r = signed(t, version, testTarget, testBody)
		r.Header.Del("x-log-compresstype")
		requireCode(t, r, testBody, "SignatureNotMatch")
		r = signed(t, version, testTarget, testBody)
		r.Header.Add("x-log-compresstype", "lz4")
		requireCode(t, r, testBody, "SignatureNotMatch")
		r = signed(t, version, testTarget, testBody)
		r.URL.RawQuery += "&type=other"
		requireCode(t, r, testBody, "SignatureNotMatch")
		r = signed(t, version, testTarget, testBody)
		r.Header.Set("traceparent", "00-1-1-1") // not part of the signature
		_, err := testVerifier().Verify(r, testBody)
		require.NoError(t, err)
	}
}

func TestHostWithoutPort(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "http://p.example.com/", nil)
	require.NoError(t, Sign(r, nil, testKey, Options{Version: V4, Now: testTime}))
	r.Host = "p.example.com:7070" // signed without the port it is sent to
	_, err := testVerifier().Verify(r, nil)
	require.NoError(t, err)
	r.Host = "q.example.com:7070"
	requireCode(t, r, nil, "SignatureNotMatch")
	require.Equal(t, "[::1]", withoutPort("[::1]:80"))
	require.Equal(t, "[::1]", withoutPort("[::1]"))
}

func TestUnhashedBody(t *testing.T) {
	v1 := signed(t, V1, testTarget, nil) // nil: signed without Content-MD5
	v4 := signed(t, V4, testTarget, nil) // nil: the hash of nothing
	requireCode(t, v1, testBody, "Unauthorized")
	requireCode(t, v4, testBody, "SignatureNotMatch")
	v := testVerifier()
	v.AllowUnhashedBody = true
	for _, r := range []*http.Request{v1, v4} {
		_, err := v.Verify(r, testBody)
		require.NoError(t, err)
	}
}

func TestV1DateCopiedAfterSigning(t *testing.T) {
	r := signed(t, V1, testTarget, testBody)
	r.Header.Set("x-log-date", r.Header.Get("Date"))
	_, err := testVerifier().Verify(r, testBody)
	require.NoError(t, err)

	r.Header.Set("Date", "Mon, 05 Jan 2026 00:00:00 GMT") // rewritten on the way
	id, err := testVerifier().Verify(r, testBody)
	require.NoError(t, err)
	require.True(t, id.Time.Equal(testTime))

	r.Header.Set("x-log-date", testTime.Add(time.Second).Format(http.TimeFormat))
	requireCode(t, r, testBody, "RequestTimeTooSkewed") // the rewritten Date
	r.Header.Del("Date")
	requireCode(t, r, testBody, "SignatureNotMatch")
}

// TestV1FreshCopyOfAnOldDate: the copy is not signed by itself, so it must not
// make an old request young.
func TestV1FreshCopyOfAnOldDate(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, testTarget, nil)
	require.NoError(t, Sign(r, testBody, testKey, Options{Version: V1, Now: testTime.Add(-time.Hour)}))
	r.Header.Set("x-log-date", testTime.Format(http.TimeFormat))
	requireCode(t, r, testBody, "RequestTimeExpired")
}

func TestV1MetaHeaders(t *testing.T) {
	for _, covered := range []bool{true, false} {
		r := httptest.NewRequest(http.MethodPost, testTarget, nil)
		if covered {
			r.Header.Set("x-log-meta-a", "1")
		}
		require.NoError(t, Sign(r, testBody, testKey, Options{Version: V1, Now: testTime}))
		r.Header.Set("x-log-meta-a", "1")
		_, err := testVerifier().Verify(r, testBody)
		require.NoError(t, err)
	}
}

func TestClockWindow(t *testing.T) {
	for _, version := range []Version{V1, V4} {
		for ahead, code := range map[time.Duration]string{
			15 * time.Minute: "", -15 * time.Minute: "",
			15*time.Minute + time.Second:  "RequestTimeTooSkewed",
			-15*time.Minute - time.Second: "RequestTimeExpired",
			1000 * time.Hour:              "RequestTimeTooSkewed",
		} {
			r := httptest.NewRequest(http.MethodPost, testTarget, nil)
			require.NoError(t, Sign(r, testBody, testKey, Options{Version: version, Now: testTime.Add(ahead)}))
			if code == "" {
				_, err := testVerifier().Verify(r, testBody)
				require.NoError(t, err)
				continue
			}
			requireCode(t, r, testBody, code)
		}
	}
}

func TestErrorCodes(t *testing.T) {
	edit := func(version Version, f func(h http.Header)) *http.Request {
		r := signed(t, version, testTarget, testBody)
		f(r.Header)
		return r
	}
	del := func(name string) func(http.Header) { return func(h http.Header) { h.Del(name) } }
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	zeros := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		r    *http.Request
		code string
	}{
		"none":            {edit(V4, del("Authorization")), "Unauthorized"},
		"two":             {edit(V4, func(h http.Header) { h.Add("Authorization", "x") }), "Unauthorized"},
		"basic":           {edit(V4, set("Authorization", "Basic abc")), "Unauthorized"},
		"v4 no signature": {edit(V4, set("Authorization", "SLS4-HMAC-SHA256 Credential=a/20260102/r/sls/aliyun_v4_request")), "Unauthorized"},
		"v4 short scope":  {edit(V4, set("Authorization", "SLS4-HMAC-SHA256 Credential=a/sls,Signature="+zeros)), "Unauthorized"},
		"v4 other day":    {edit(V4, set("Authorization", "SLS4-HMAC-SHA256 Credential=wtkey1/20260103/r/sls/aliyun_v4_request,Signature="+zeros)), "Unauthorized"},
		"v4 unknown key":  {edit(V4, set("Authorization", "SLS4-HMAC-SHA256 Credential=a/20260102/r/sls/aliyun_v4_request,Signature="+zeros)), "InvalidAccessKeyId"},
		"v4 wrong":        {edit(V4, set("Authorization", "SLS4-HMAC-SHA256 Credential=wtkey1/20260102/r/sls/aliyun_v4_request,Signature="+zeros)), "SignatureNotMatch"},
		"v4 no date":      {edit(V4, del("x-log-date")), "MissingDate"},
		"v4 bad date":     {edit(V4, set("x-log-date", "2026-01-02")), "InvalidDateFormat"},
		"v4 no hash":      {edit(V4, del("x-log-content-sha256")), "Unauthorized"},
		"v1 unreadable":   {edit(V1, set("Authorization", "LOG wtkey1")), "Unauthorized"},
		"v1 unknown key":  {edit(V1, set("Authorization", "LOG a:b")), "InvalidAccessKeyId"},
		"v1 wrong":        {edit(V1, set("Authorization", "LOG wtkey1:b")), "SignatureNotMatch"},
		"v1 no date":      {edit(V1, del("Date")), "MissingDate"},
		"v1 bad date":     {edit(V1, set("Date", "yesterday")), "InvalidDateFormat"},
		"v1 no method":    {edit(V1, del("x-log-signaturemethod")), "MissingSignatureMethod"},
		"v1 other method": {edit(V1, set("x-log-signaturemethod", "hmac-md5")), "InvalidSignatureMethod"},
	} {
		t.Run(name, func(t *testing.T) { requireCode(t, c.r, testBody, c.code) })
	}
	v := testVerifier()
	v.AllowV1 = false
	_, err := v.Verify(signed(t, V1, testTarget, testBody), testBody)
	var refused *Error
	require.True(t, errors.As(err, &refused))
	require.Equal(t, "Unauthorized", refused.Code)
}

func TestSignRefuses(t *testing.T) {
	for _, target := range []string{"/?a=1&a=2", "/?a;b", "/?a%zz", "/?a%26b=1"} {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{}}
		r.URL = httptest.NewRequest(http.MethodGet, "/", nil).URL
		_, r.URL.RawQuery, _ = strings.Cut(target, "?")
		require.Error(t, Sign(r, nil, testKey, Options{Version: V4, Now: testTime}), target)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	require.Error(t, Sign(r, nil, Credentials{}, Options{Version: V4, Now: testTime}))
	require.Error(t, Sign(r, nil, testKey, Options{Now: testTime}))
}

func TestSignerKeyFollowsDayRegionAndSecret(t *testing.T) {
	var s Signer
	for _, o := range []Options{
		{V4, "a", testTime}, {V4, "a", testTime.Add(time.Minute)}, {V4, "b", testTime}, {V4, "b", testTime.Add(24 * time.Hour)},
	} {
		for _, secret := range []string{"one", "two"} {
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			require.NoError(t, s.Sign(r, nil, Credentials{KeyID: "k", Secret: secret}, o))
			v := Verifier{Secret: func(string) (string, bool) { return secret, true }, Now: func() time.Time { return o.Now }}
			_, err := v.Verify(r, nil)
			require.NoError(t, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for _, version := range []Version{V1, V4} {
		r := signed(f, version, testTarget, testBody)
		f.Add(r.Header.Get("Authorization"), r.Header.Get("Date"), r.Header.Get("x-log-date"), r.URL.RawQuery, testBody)
	}
	f.Fuzz(func(t *testing.T, authorization, date, logDate, query string, body []byte) {
		version := V4
		if strings.HasPrefix(authorization, schemeV1) {
			version = V1
		}
		r := signed(t, version, testTarget, testBody)
		valid := r.Clone(r.Context())
		for name, value := range map[string]string{"Authorization": authorization, "Date": date, "X-Log-Date": logDate} {
			r.Header.Del(name)
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		r.URL.RawQuery = query
		id, err := testVerifier().Verify(r, body)
		if err != nil {
			var refused *Error
			require.ErrorAs(t, err, &refused)
			require.Zero(t, id)
			return
		}
		want, _ := parseQuery(valid.URL.RawQuery)
		got, _ := parseQuery(query)
		require.Equal(t, valid.Header.Get("Authorization"), authorization)
		require.Equal(t, string(appendQueryV1(nil, want)), string(appendQueryV1(nil, got)))
		require.Equal(t, string(testBody), string(body))
		require.True(t, id.Time.Equal(testTime))
	})
}

func BenchmarkSign(b *testing.B) {
	for name, version := range map[string]Version{"v1": V1, "v4": V4} {
		b.Run(name, func(b *testing.B) {
			r := signed(b, version, testTarget, testBody)
			var s Signer
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Sign(r, testBody, testKey, Options{Version: version, Region: "local", Now: testTime}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for name, version := range map[string]Version{"v1": V1, "v4": V4} {
		b.Run(name, func(b *testing.B) {
			r := signed(b, version, testTarget, testBody)
			v := testVerifier()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(r, testBody); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
