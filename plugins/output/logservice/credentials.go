package logservice

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/wasmtail/wasmtail/internal/signature"
)

// keySource gives the key that signs requests: a fixed one, or the one in a file
// that something else renews. Safe for concurrent use.
type keySource struct {
	path string // empty for a fixed key

	mu      sync.Mutex
	key     signature.Credentials
	looked  time.Time // at the file
	version os.FileInfo
	err     error // why the file cannot be used; the key it had before goes on
}

// keyLookPause is how often the file of a key is looked at, at most.
const keyLookPause = time.Second

// newKeySource returns the source a configuration names. A file that cannot be
// read yet is tried again.
func newKeySource(c *Config) *keySource {
	return &keySource{path: c.CredentialsFile, key: signature.Credentials{
		KeyID: c.AccessKeyID, Secret: c.AccessKeySecret.Reveal(), SecurityToken: c.SecurityToken.Reveal(),
	}}
}

// current returns the key, read again if its file has changed. The error says why
// there is none.
func (s *keySource) current(now time.Time) (signature.Credentials, error) {
	if s.path == "" {
		return s.key, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.looked) >= keyLookPause || now.Before(s.looked) {
		s.looked = now
		s.err = s.look()
	}
	if s.key.KeyID == "" {
		return s.key, s.err
	}
	return s.key, nil
}

// look reads the file if it is another than before.
func (s *keySource) look() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("cannot read the key in credentials_file: %w", err)
	}
	if v := s.version; v != nil && os.SameFile(v, info) && v.ModTime().Equal(info.ModTime()) && v.Size() == info.Size() {
		return s.err
	}
	text, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("cannot read the key in credentials_file: %w", err)
	}
	var file struct {
		KeyID  string `json:"AccessKeyId"`
		Secret string `json:"AccessKeySecret"`
		Token  string `json:"SecurityToken"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("cannot read the key in credentials_file %s: it must be a JSON object: %w", s.path, err)
	}
	if file.KeyID == "" || file.Secret == "" {
		return errors.New("cannot use the key in credentials_file " + s.path + ": AccessKeyId or AccessKeySecret is missing")
	}
	s.version, s.key = info, signature.Credentials{KeyID: file.KeyID, Secret: file.Secret, SecurityToken: file.Token}
	return nil
}
