package dispatch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wasmtail/wasmtail/internal/config"
)

// Auth is how the agent says who it is: by a name and a password, or by a token.
// Without either nothing is said.
type Auth struct {
	// Username is for basic authentication, with a password.
	Username string `yaml:"username" example:"wasmtail"`
	// Password belongs to the username.
	Password config.Secret `yaml:"password" example:"${env:WASMTAIL_PASSWORD}"`
	// PasswordFile holds the password, in its first line. It is read again when it
	// changes.
	PasswordFile string `yaml:"password_file" path:"true" example:"/etc/wasmtail/password"`
	// Scheme is the word in front of the token: `Bearer`, or `ApiKey` for a key of
	// Elasticsearch, encoded as it hands it out.
	Scheme string `yaml:"scheme" default:"Bearer" example:"ApiKey"`
	// Token is sent as it is, after the scheme.
	Token config.Secret `yaml:"token" example:"${file:token}"`
	// TokenFile holds the token, in its first line. It is read again when it
	// changes, so that it can be renewed while the agent runs.
	TokenFile string `yaml:"token_file" path:"true" example:"/run/wasmtail/token"`
}

// Validate reports settings that contradict each other.
func (a *Auth) Validate(report func(key, problem string)) {
	given := 0
	for _, set := range []bool{a.Username != "", a.Token != "", a.TokenFile != ""} {
		if set {
			given++
		}
	}
	if given > 1 {
		report("username", "and token and token_file stand for each other: give one of them")
	}
	if a.Username == "" && (a.Password != "" || a.PasswordFile != "") {
		report("username", "is missing: there is a password without it")
	}
	if strings.Contains(a.Username, ":") {
		report("username", "must not hold a colon")
	}
	if a.Password != "" && a.PasswordFile != "" {
		report("password_file", "stands in place of password: give either")
	}
	if strings.ContainsFunc(a.Scheme, func(r rune) bool { return r <= ' ' || r > '~' }) {
		report("scheme", "must be one word")
	}
}

// Keys gives the value of the Authorization header. Safe for concurrent use.
type Keys struct {
	auth Auth

	mu     sync.Mutex
	looked time.Time
	value  string // "" until the file could be read
	err    error
}

// keyLookPause is how often the file of a key is looked at, at most.
const keyLookPause = time.Second

// NewKeys returns the keys that a configuration names. A file that cannot be read
// yet is tried again.
func NewKeys(a Auth) *Keys { return &Keys{auth: a} }

// User is the name of basic authentication and its password at a time; both are
// empty without one.
func (k *Keys) User(now time.Time) (name, password string, err error) {
	if k.auth.Username == "" {
		return "", "", nil
	}
	password, err = k.secret(k.auth.Password, k.auth.PasswordFile, now)
	return k.auth.Username, password, err
}

// Authorization is the value of the header at a time, "" for none.
func (k *Keys) Authorization(now time.Time) (string, error) {
	if k.auth.Username != "" {
		name, password, err := k.User(now)
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password)), err
	}
	token, err := k.secret(k.auth.Token, k.auth.TokenFile, now)
	if err != nil || token == "" {
		return "", err
	}
	return k.auth.Scheme + " " + token, nil
}

// secret is the one that is set, or that in the file. A file that can no longer be
// read leaves the one it had.
func (k *Keys) secret(set config.Secret, path string, now time.Time) (string, error) {
	if path == "" {
		return set.Reveal(), nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.looked) >= keyLookPause || now.Before(k.looked) {
		k.looked = now
		if value, err := firstLine(path); err == nil {
			k.value, k.err = value, nil
		} else {
			k.err = err
		}
	}
	if k.value == "" {
		return "", k.err
	}
	return k.value, nil
}

var errNoSecret = errors.New("its first line is empty")

func firstLine(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the secret in a file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("cannot use the secret in %s: %w", path, errNoSecret)
	}
	return line, nil
}
