package console

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	// cookieName is the session's cookie.
	cookieName = "wt_session"
	// sessionTime is how long a session lasts.
	sessionTime = 12 * time.Hour
	// sessionsMax bounds the sessions: each needs a token that was given out.
	sessionsMax = 1000
)

// Sessions knows who is logged in. Safe for concurrent use. It keeps hashes
// only, so that a dump of the memory opens no session.
type Sessions struct {
	now func() time.Time

	mu     sync.Mutex
	token  [sha256.Size]byte
	usable bool
	open   map[[sha256.Size]byte]time.Time // until when
}

// NewSessions returns the sessions of a hub. now is the clock; nil means
// time.Now.
func NewSessions(now func() time.Time) *Sessions {
	if now == nil {
		now = time.Now
	}
	return &Sessions{now: now, open: make(map[[sha256.Size]byte]time.Time)}
}

// Token returns a new token for one login. The one before it no longer works.
func (s *Sessions) Token() string {
	token := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.usable = sha256.Sum256([]byte(token)), true
	return token
}

// login uses the token up and opens a session.
func (s *Sessions) login(token string) (id string, ok bool) {
	sum := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.usable || sum != s.token {
		return "", false
	}
	s.usable = false
	for k, until := range s.open {
		if len(s.open) >= sessionsMax || s.now().After(until) {
			delete(s.open, k)
		}
	}
	id = rand.Text()
	s.open[sha256.Sum256([]byte(id))] = s.now().Add(sessionTime)
	return id, true
}

// has reports whether a request belongs to a session.
func (s *Sessions) has(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(c.Value))
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.open[sum]
	return ok && s.now().Before(until)
}

// cookie returns the cookie of a session.
func cookie(r *http.Request, id string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure where there is TLS: on a loopback address there is none
		Name: cookieName, Value: id, Path: "/", MaxAge: int(sessionTime / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}
