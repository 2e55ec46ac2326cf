package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/hub/store"
)

func FuzzAppendRecord(f *testing.F) {
	f.Add("name", "va\"lue\n\x00\xff</script>")
	f.Fuzz(func(t *testing.T, name, value string) {
		if hidden(name) {
			return
		}
		text := appendRecord(nil, []store.Field{{Name: name, Value: value}})
		var got map[string]string
		require.NoError(t, json.Unmarshal(text, &got), "%q", text)
		require.Equal(t, strings.ToValidUTF8(value, "\uFFFD"), got[strings.ToValidUTF8(name, "\uFFFD")])
	})
}

func TestParseTime(t *testing.T) {
	want := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, s := range []string{"2026-03-04T05:06:07Z", "1772600767", "1772600767.0", "1772600767000", "1772600767000000", "1772600767000000000"} {
		got, err := parseTime(s)
		require.NoError(t, err)
		require.True(t, want.Equal(got), "%s: %s", s, got)
	}
	for _, s := range []string{"", "x", "-1", "NaN", "Inf", "1e300", "99999999999999999999", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"} {
		_, err := parseTime(s)
		require.Error(t, err, s)
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-03-04T05:06:07Z")
	f.Add("1772600767.5")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTime(s)
		if err == nil {
			require.True(t, got.Year() >= 1970 && got.Year() <= 2200)
		}
	})
}

func TestSessions(t *testing.T) {
	now := time.Now()
	s := NewSessions(func() time.Time { return now })
	_, ok := s.login("")
	require.False(t, ok)
	old := s.Token()
	token := s.Token()
	_, ok = s.login(old)
	require.False(t, ok, "a new token ends the one before")
	id, ok := s.login(token)
	require.True(t, ok)
	_, ok = s.login(token)
	require.False(t, ok, "a token works once")
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	require.False(t, s.has(r))
	c := cookie(r, id)
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, c.SameSite)
	r.AddCookie(c)
	require.True(t, s.has(r))
	now = now.Add(sessionTime)
	require.False(t, s.has(r), "sessions end")
}

func TestLogin_WithAUsedLinkTellsAPersonInAPageAndAProgramInJSON(t *testing.T) {
	c, err := New(Options{Sessions: NewSessions(nil)})
	require.NoError(t, err)
	c.files = fstest.MapFS{"index.html": {Data: []byte("<p>bundle")}}
	link := "/login?token=" + c.o.Sessions.Token()
	get := func(change func(h http.Header)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, link, http.NoBody)
		change(r.Header)
		w := httptest.NewRecorder()
		c.login(w, r)
		return w
	}
	first := get(func(http.Header) {})
	require.Equal(t, http.StatusSeeOther, first.Code)
	program := get(func(http.Header) {})
	require.Equal(t, http.StatusUnauthorized, program.Code)
	require.JSONEq(t, `{"error":{"code":"Unauthorized","message":"This link is not valid, or has been used. Each works once."}}`, program.Body.String())
	person := get(func(h http.Header) { h.Set("Accept", "text/html,*/*;q=0.8") })
	require.Equal(t, http.StatusUnauthorized, person.Code)
	require.Equal(t, "<p>bundle", person.Body.String())
	require.Contains(t, person.Header().Get("Content-Type"), "text/html")
	again := get(func(h http.Header) { h.Set("Cookie", first.Header().Get("Set-Cookie")) })
	require.Equal(t, http.StatusSeeOther, again.Code, "who has a session needs no link")
	require.Empty(t, again.Header().Get("Set-Cookie"))
}

func TestAnswer_SaysWhatToDoAboutAQueryThatTakesTooLong(t *testing.T) {
	c, err := New(Options{})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	c.answer(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody), fmt.Errorf("cannot run the query: %w", context.DeadlineExceeded))
	require.Equal(t, http.StatusGatewayTimeout, w.Code)
	require.Contains(t, w.Body.String(), "shorter time range")
}

func TestPage_WithoutTheBundleSaysHowToGetIt(t *testing.T) {
	c, err := New(Options{Version: "1.2.3"})
	require.NoError(t, err)
	c.files = fstest.MapFS{}
	w := httptest.NewRecorder()
	c.page(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), "make console")
	require.Contains(t, w.Body.String(), "1.2.3")
	c.files = fstest.MapFS{"index.html": {Data: []byte("<p>bundle")}, "assets/a.js": {Data: []byte("1")}}
	w = httptest.NewRecorder()
	c.page(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	require.Equal(t, "<p>bundle", w.Body.String())
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "script-src 'self';")
	require.Equal(t, "DENY", w.Header().Get("X-Frame-Options"))
	w = httptest.NewRecorder()
	c.page(w, httptest.NewRequest(http.MethodGet, "/assets/a.js", http.NoBody))
	require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
	for _, path := range []string{"/assets", "/nowhere", "/../console.go"} {
		w = httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.URL.Path = path
		c.page(w, r)
		require.Equal(t, http.StatusNotFound, w.Code, path)
	}
}
