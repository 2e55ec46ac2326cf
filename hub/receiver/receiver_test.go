package receiver

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wasmtail/wasmtail/hub/stream"
	"github.com/wasmtail/wasmtail/internal/loggroup"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/signature"
)

var credentials = signature.Credentials{KeyID: "id", Secret: "secret"}

// answers is a stream that answers as told.
type answers struct {
	err   error
	calls int
}

func (a *answers) Publish(context.Context, *stream.Batch) (bool, error) {
	a.calls++
	return false, a.err
}
func (a *answers) HasLogstore(string, string) bool                      { return true }
func (a *answers) CreateLogstore(context.Context, string, string) error { return nil }

func serve(t *testing.T, o Options, a *answers, edit func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	o.Publish = a
	o.Access = &Access{Keys: Keys{"id": {ID: "id", Secret: "secret", Projects: []string{"proj"}}}, DefaultProject: "proj"}
	mux := http.NewServeMux()
	mux.Handle("POST /logstores/{logstore}", New(o))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, signed(t, edit))
	return w
}

func signed(t *testing.T, edit func(*http.Request)) *http.Request {
	t.Helper()
	b := record.Get(&record.Origin{Ledger: &record.Ledger{}})
	defer b.Release()
	b.Add([]byte("hello"))
	body := loggroup.Append(nil, b, &loggroup.Header{})
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/logstores/web", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("x-log-bodyrawsize", strconv.Itoa(len(body)))
	if edit != nil {
		edit(r)
	}
	require.NoError(t, signature.Sign(r, body, credentials, signature.Options{Version: signature.V4, Region: "x", Now: time.Now()}))
	return r
}

func TestReceiver_AnswersAreThoseOfTheStream(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{nil, 200, "", ""},
		{stream.ErrFull, 503, "ServerBusy", "5"},
		{stream.ErrNoLogstore, 404, "LogStoreNotExist", ""},
		{errors.New("disk"), 500, "InternalServerError", "1"},
	} {
		w := serve(t, Options{}, &answers{err: tc.err}, nil)
		require.Equal(t, tc.status, w.Code)
		require.Contains(t, w.Body.String(), tc.code)
		require.Equal(t, tc.retry, w.Header().Get("Retry-After"))
		require.NotEmpty(t, w.Header().Get("x-log-requestid"))
		require.NotEmpty(t, w.Header().Get("x-log-time"))
	}
}

func TestReceiver_WhatDoesNotFitIsRefusedBusy(t *testing.T) {
	a := &answers{}
	w := serve(t, Options{MemoryBytesMax: 8}, a, nil)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "ServerBusy")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Zero(t, a.calls)
}

func TestReceiver_MemoryIsGivenBack(t *testing.T) {
	rc := New(Options{Publish: &answers{}, MemoryBytesMax: 200, Access: &Access{Keys: Keys{"id": {ID: "id", Secret: "secret", Projects: []string{"*"}}}, DefaultProject: "proj"}})
	mux := http.NewServeMux()
	mux.Handle("POST /logstores/{logstore}", rc)
	for i := range 20 {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, signed(t, func(r *http.Request) { r.Header.Set("x-log-nonce", strconv.Itoa(i)) }))
		require.Equal(t, http.StatusOK, w.Code)
	}
}

func TestReceiver_ARequestThatFailedMayComeAgain(t *testing.T) {
	a := &answers{err: stream.ErrFull}
	rc := New(Options{Publish: a, Access: &Access{Keys: Keys{"id": {ID: "id", Secret: "secret", Projects: []string{"*"}}}, DefaultProject: "proj"}})
	mux := http.NewServeMux()
	mux.Handle("POST /logstores/{logstore}", rc)
	r := signed(t, nil)
	body := make([]byte, r.ContentLength)
	_, err := r.Body.Read(body)
	require.NoError(t, err)
	for _, want := range []int{503, 503, 200, 401} {
		if want == 200 {
			a.err = nil
		}
		again := r.Clone(context.Background())
		again.Body = http.NoBody
		again.Body = readCloser{bytes.NewReader(body)}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, again)
		require.Equal(t, want, w.Code, w.Body.String())
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func TestReceiver_KeysAreBoundToProjects(t *testing.T) {
	w := serve(t, Options{}, &answers{}, func(r *http.Request) { r.Header.Set("x-log-project", "other") })
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Contains(t, w.Body.String(), "ProjectForbidden")
}

func TestReceiver_LogsAreCounted(t *testing.T) {
	w := serve(t, Options{LogsMax: 1}, &answers{}, nil)
	require.Equal(t, http.StatusOK, w.Code)
}

func TestAccess_Project(t *testing.T) {
	for _, tc := range []struct{ endpoint, host, want string }{
		{"", "127.0.0.1:7070", "default"},
		{"", "[::1]:7070", "default"},
		{"", "localhost:7070", "default"},
		{"", "hub", "default"},
		{"", "proj.127.0.0.1:7070", "proj"},
		{"", "proj.localhost:7070", "proj"},
		{"", "proj.cn-shanghai.log.aliyuncs.com", "proj"},
		{"hub.example.com", "hub.example.com", "default"},
		{"hub.example.com", "proj.hub.example.com:443", "proj"},
		{"hub.example.com", "127.0.0.1", "default"},
	} {
		a := &Access{DefaultProject: "default", Endpoint: tc.endpoint}
		r := httptest.NewRequest(http.MethodPost, "http://x/", http.NoBody)
		r.Host = tc.host
		got, e := a.Project(r)
		require.Nil(t, e)
		require.Equal(t, tc.want, got, tc.host)
	}
}

func TestReplays_RememberForTheSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const span = 10 * time.Second
		now := time.Unix(0, 0)
		r := newReplays(span, now)
		taken := map[byte]time.Time{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
			k := rapid.ByteRange(0, 5).Draw(t, "key")
			seen, full := r.claim(replayKey{k}, now)
			require.False(t, full)
			if at, ok := taken[k]; ok && now.Sub(at) <= span {
				require.True(t, seen)
			}
			if _, ok := taken[k]; !ok {
				require.False(t, seen)
			}
			if !seen {
				taken[k] = now
			}
		}
	})
}

func TestLoadKeys(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state", "keys.yaml")
	keys, made, err := LoadKeys(name)
	require.NoError(t, err)
	require.NotNil(t, made)
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, made2, err := LoadKeys(name)
	require.NoError(t, err)
	require.Nil(t, made2)
	require.Equal(t, keys, again)
	require.True(t, keys[made.ID].Allows("anything"))

	require.NoError(t, os.Chmod(name, 0o644))
	_, _, err = LoadKeys(name)
	require.ErrorContains(t, err, "chmod 600")
	for _, text := range []string{"version: 2\nkeys: []", "version: 1\nkeys: [{id: a, secret: b, project: [x]}]", "version: 1\nkeys: [{id: a, secret: b}]", "version: 1\nkeys: [{id: a, projects: [x]}]", "keys: ["} {
		require.NoError(t, os.Remove(name))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		_, _, err = LoadKeys(name)
		require.Error(t, err, text)
	}
	_, _, err = LoadKeys(filepath.Join(t.TempDir(), "none"), Key{ID: "a", Secret: "b", Projects: []string{"x"}})
	require.NoError(t, err)
}
