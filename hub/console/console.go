// Package console shows what the hub holds: an HTTP API under /api/v1, the
// reading calls of Log Service, and the web page that uses the API.
//
// It promises that nothing is shown without a session or a signed request: a
// session begins with a token that works once, a signature needs a key that may
// use the project. Queries are bounded in time, rows and number. Pages come
// with headers that forbid foreign scripts and frames.
//
// It starts no goroutines. All handlers are safe for concurrent use.
package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"github.com/wasmtail/wasmtail/hub/receiver"
	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/hub/stream"
)

//go:embed all:dist
var dist embed.FS

//go:embed missing.html
var missingPage string

const (
	// queryTimeout bounds a query.
	queryTimeout = time.Minute
	// queriesMax is how many queries run at a time; tails not counted.
	queriesMax = 16
	// writeTimeout bounds one write to a client.
	writeTimeout = 15 * time.Second
	// bodyBytesMax bounds the body of a reading request.
	bodyBytesMax = 64 << 10
)

// Options of a console.
type Options struct {
	Querier  store.Querier
	Stream   *stream.Stream
	Access   *receiver.Access
	Sessions *Sessions
	// LoggedIn is called after a login has used the token up; it may give out
	// the next one. May be nil.
	LoggedIn func()
	// Version and Store ("embedded" or "cluster") are shown in the status.
	Version, Store string
	// Ingest returns numbers for the status. May be nil.
	Ingest func() map[string]any
	Log    logrus.FieldLogger
}

// Console answers all requests that read.
type Console struct {
	o       Options
	queries *semaphore.Weighted
	files   fs.FS
	missing *template.Template
	started time.Time
}

// New returns a console.
func New(o Options) (*Console, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	page, err := template.New("missing").Parse(missingPage)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
	return &Console{o: o, queries: semaphore.NewWeighted(queriesMax), files: files, missing: page, started: time.Now()}, nil
}

// Register adds the console's routes.
func (c *Console) Register(mux *http.ServeMux) {
	api := func(name string, h func(http.ResponseWriter, *http.Request, *caller) error) {
		mux.Handle("GET /api/v1/"+name, c.guarded(h))
	}
	api("query", c.query)
	api("hits", c.hits)
	api("facets", c.facets)
	api("tail", c.tail)
	api("context", c.context)
	api("logstores", c.logstores)
	api("ledger", c.ledger)
	api("status", c.status)
	mux.HandleFunc("GET /api/", func(w http.ResponseWriter, _ *http.Request) {
		secure(w)
		fail(w, http.StatusNotFound, "NotFound", "There is no such call.")
	})
	mux.HandleFunc("GET /login", c.login)
	mux.HandleFunc("GET /logstores/{logstore}", c.getLogs)
	mux.HandleFunc("POST /logstores/{logstore}/logs", c.getLogsV3)
	mux.HandleFunc("GET /", c.page)
}

// secure sets the headers that keep a browser from doing harm.
func secure(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// fail answers an API call with an error.
func fail(w http.ResponseWriter, status int, code, message string) {
	reply(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func reply(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		status = http.StatusInternalServerError
		body.Reset()
		body.WriteString(`{"error":{"code":"InternalError","message":""}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// caller is who asks.
type caller struct {
	project string
	key     *receiver.Key // nil for a session, which may see everything
}

// may reports whether the caller may see a project.
func (u *caller) may(project string) bool { return u.key == nil || u.key.Allows(project) }

// apiError is an error with its answer.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.message }

func invalid(message string) error {
	return &apiError{http.StatusBadRequest, "InvalidParameter", message}
}

// guarded lets a call through for a session or a signed request.
func (c *Console) guarded(h func(http.ResponseWriter, *http.Request, *caller) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w)
		u, err := c.caller(r)
		if err == nil {
			err = h(w, r, u)
		}
		if err != nil {
			c.answer(w, r, err)
		}
	})
}

// answer turns an error into a response. Nothing has been written.
func (c *Console) answer(w http.ResponseWriter, r *http.Request, err error) {
	var api *apiError
	var refused *receiver.Error
	switch {
	case errors.As(err, &api):
		fail(w, api.status, api.code, api.message)
	case errors.As(err, &refused):
		fail(w, refused.Status, refused.Code, refused.Message)
	case errors.Is(err, store.ErrQuery):
		fail(w, http.StatusBadRequest, "InvalidQuery", err.Error())
	case r.Context().Err() != nil:
		// The client has gone.
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, "QueryTimeout", "The query took longer than "+queryTimeout.String()+". Choose a shorter time range, or a query that matches fewer lines.")
	default:
		c.o.Log.WithError(err).WithField("path", r.URL.Path).Warn("cannot answer a query")
		fail(w, http.StatusInternalServerError, "InternalError", "The query failed: "+err.Error())
	}
}

// caller returns who asks, or why they may not.
func (c *Console) caller(r *http.Request) (*caller, error) {
	u := &caller{project: r.URL.Query().Get("project")}
	if u.project == "" {
		u.project = c.o.Access.DefaultProject
	}
	if !receiver.ValidName(u.project) {
		return nil, invalid("The project's name is not valid.")
	}
	if c.o.Sessions.has(r) {
		return u, nil
	}
	if r.Header.Get("Authorization") == "" {
		return nil, &apiError{http.StatusUnauthorized, "Unauthorized", "Log in with the link that the hub printed when it started, or sign the request."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bodyBytesMax))
	if err != nil {
		return nil, invalid("The body is too large.")
	}
	id, refused := c.o.Access.Verify(r, body, u.project)
	if refused != nil {
		return nil, refused
	}
	u.key = c.o.Access.Keys[id.KeyID]
	return u, nil
}

// login begins a session with the token.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	secure(w)
	id, ok := c.o.Sessions.login(r.URL.Query().Get("token"))
	switch {
	case ok:
	case c.o.Sessions.has(r): // an old link in a browser that needs none
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	default:
		c.refuseLogin(w, r)
		return
	}
	if c.o.LoggedIn != nil {
		c.o.LoggedIn()
	}
	http.SetCookie(w, cookie(r, id))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// refuseLogin answers a login that failed: a person with the page, which says
// how to get the next link, a program with an error.
func (c *Console) refuseLogin(w http.ResponseWriter, r *http.Request) {
	page, err := fs.ReadFile(c.files, "index.html")
	if err != nil || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		fail(w, http.StatusUnauthorized, "Unauthorized", "This link is not valid, or has been used. Each works once.")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write(page)
}

// page serves the web page's files. They are no secret: what they show is.
func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	secure(w)
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	info, err := fs.Stat(c.files, name)
	switch {
	case err == nil && !info.IsDir():
		if strings.HasPrefix(name, "assets/") {
			// Their names change with their content.
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		c.serveFile(w, r, name)
	case r.URL.Path == "/":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := c.missing.Execute(w, map[string]string{"Version": c.o.Version}); err != nil {
			c.o.Log.WithError(err).Debug("cannot write a page")
		}
	default:
		fail(w, http.StatusNotFound, "NotFound", "There is no such page.")
	}
}

// serveFile writes one embedded file. It is used instead of http.ServeFileFS,
// which sends /index.html elsewhere.
func (c *Console) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	data, err := fs.ReadFile(c.files, name)
	if err != nil {
		fail(w, http.StatusNotFound, "NotFound", "There is no such page.")
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}
