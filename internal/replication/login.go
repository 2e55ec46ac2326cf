package replication

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the protocol wants it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
)

// Capabilities of the protocol.
const (
	longPassword = 1 << 0
	longFlag     = 1 << 2
	protocol41   = 1 << 9
	useSSL       = 1 << 11
	transactions = 1 << 13
	secureLogin  = 1 << 15
	pluginAuth   = 1 << 19
)

// The ways to log in that are known.
const (
	nativePassword = "mysql_native_password" //nolint:gosec // the name of a way to log in
	cachingSHA2    = "caching_sha2_password"
	sha256Password = "sha256_password"
	clearPassword  = "mysql_clear_password"
	ed25519        = "client_ed25519"
)

const utf8mb4 = 45

// login is one login.
type login struct {
	c              *Conn
	user, password string
	secure         *tls.Config
	private        bool // nobody can listen: the password may be sent as it is
	salt           []byte
	plugin         string
}

func (l *login) run(ctx context.Context) error {
	offered, err := l.greeting()
	if err != nil {
		return err
	}
	flags := uint32(longPassword | longFlag | protocol41 | transactions | secureLogin | pluginAuth)
	if l.secure != nil {
		if offered&useSSL == 0 {
			return errors.New("the server does not offer TLS, which tls.enabled requires")
		}
		flags |= useSSL
		if err := l.c.writePacket(head(flags)); err != nil {
			return err
		}
		if err := l.c.useTLS(ctx, l.secure); err != nil {
			return err
		}
		l.private = true
	}
	answer, err := l.answer()
	if errors.Is(err, errPlugin) { // the server may let us choose another
		l.plugin, err = nativePassword, nil
		answer = scrambleSHA1(l.salt, l.password)
	}
	if err != nil {
		return err
	}
	p := append(append(head(flags), l.user...), 0)
	p = append(append(p, byte(len(answer))), answer...)
	p = append(append(p, l.plugin...), 0)
	if err := l.c.writePacket(p); err != nil {
		return err
	}
	return l.finish()
}

// head is what the request for TLS and the login begin with.
func head(flags uint32) []byte {
	p := binary.LittleEndian.AppendUint32(nil, flags)
	p = binary.LittleEndian.AppendUint32(p, packetMax)
	return append(append(p, utf8mb4), make([]byte, 23)...)
}

// greeting reads what the server says first, and returns its capabilities.
func (l *login) greeting() (flags uint32, err error) {
	p, err := l.c.readPacket()
	if err != nil {
		return 0, err
	}
	if len(p) > 0 && p[0] == 0xff {
		return 0, serverError(p)
	}
	if len(p) == 0 || p[0] != 10 {
		return 0, errors.New("this is no MySQL server: it does not greet as one")
	}
	end := bytes.IndexByte(p, 0)
	if end < 0 || len(p) < end+1+4+9+2+1+2+2+1+10 {
		return 0, errShort
	}
	p = p[end+1+4:] // behind the version and the number of the connection
	l.salt = append([]byte{}, p[:8]...)
	p = p[9:]
	flags = uint32(p[0]) | uint32(p[1])<<8 | uint32(p[5])<<16 | uint32(p[6])<<24
	p = p[2+1+2+2+1+10:]
	if flags&protocol41 == 0 || flags&secureLogin == 0 {
		return 0, errors.New("the server is too old")
	}
	l.plugin = nativePassword
	salt, rest, found := bytes.Cut(p, []byte{0})
	l.salt = append(l.salt, salt...)
	if found && flags&pluginAuth != 0 {
		name, _, _ := bytes.Cut(rest, []byte{0})
		l.plugin = string(name)
	}
	return flags, nil
}

var errPlugin = errors.New("the way to log in is not known")

// answer is the proof of the password that the plugin wants first.
func (l *login) answer() ([]byte, error) {
	switch l.plugin {
	case nativePassword:
		return scrambleSHA1(l.salt, l.password), nil
	case cachingSHA2:
		return scrambleSHA256(l.salt, l.password), nil
	case sha256Password:
		if l.private {
			return append([]byte(l.password), 0), nil
		}
		return []byte{1}, nil // asks for the server's key
	case ed25519:
		return signEd25519(l.salt, l.password)
	case clearPassword:
		if !l.private {
			return nil, errors.New("the server wants the password in clear; enable tls for that")
		}
		return append([]byte(l.password), 0), nil
	}
	return nil, fmt.Errorf("the account logs in by %s: %w; use %s or %s", l.plugin, errPlugin, nativePassword, cachingSHA2)
}

// finish does what the server wants until it says yes or no.
func (l *login) finish() error {
	for range 8 { // no way to log in has more steps
		p, err := l.c.readPacket()
		if err != nil {
			return err
		}
		if len(p) == 0 {
			return errShort
		}
		switch p[0] {
		case 0:
			return nil
		case 0xff:
			return serverError(p)
		case 0xfe:
			err = l.change(p[1:])
		case 1:
			err = l.more(p[1:])
		default:
			err = fmt.Errorf("the server's answer to the login begins with %d, which is not known", p[0])
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the server asks without end")
}

// change logs in by another plugin.
func (l *login) change(p []byte) error {
	name, salt, found := bytes.Cut(p, []byte{0})
	if !found {
		return errors.New("the server wants the password of before MySQL 4.1")
	}
	l.plugin, l.salt = string(name), append([]byte{}, bytes.TrimSuffix(salt, []byte{0})...)
	answer, err := l.answer()
	if err != nil {
		return err
	}
	return l.c.writePacket(answer)
}

// more answers what a plugin asks beyond the first proof.
func (l *login) more(p []byte) error {
	switch {
	case l.plugin == cachingSHA2 && len(p) == 1 && p[0] == 3: // it knows us
		return nil
	case l.plugin == cachingSHA2 && len(p) == 1 && p[0] == 4:
		if l.private {
			return l.c.writePacket(append([]byte(l.password), 0))
		}
		return l.c.writePacket([]byte{2}) // asks for the server's key
	case l.plugin == cachingSHA2 || l.plugin == sha256Password:
		sealed, err := seal(p, l.salt, l.password)
		if err != nil {
			return err
		}
		return l.c.writePacket(sealed)
	}
	return fmt.Errorf("cannot log in by %s: the server asks more than is known", l.plugin)
}

// seal encrypts a password with the server's key.
func seal(key, salt []byte, password string) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil || len(salt) == 0 {
		return nil, errors.New("the server's key is not understood")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the server's key is not understood: %w", err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the server's key is not one of RSA")
	}
	text := append([]byte(password), 0)
	for i := range text {
		text[i] ^= salt[i%len(salt)]
	}
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, public, text, nil) //nolint:gosec // the protocol wants it
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt the password: %w", err)
	}
	return sealed, nil
}

// signEd25519 is the proof of MariaDB's client_ed25519: a signature of RFC 8032, with
// the password in place of the seed of a key.
func signEd25519(salt []byte, password string) ([]byte, error) {
	key := sha512.Sum512([]byte(password))
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(key[:32])
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	public := edwards25519.NewIdentityPoint().ScalarBaseMult(secret).Bytes()
	nonce, err := hashScalar(key[32:], salt)
	if err != nil {
		return nil, err
	}
	commitment := edwards25519.NewIdentityPoint().ScalarBaseMult(nonce).Bytes()
	challenge, err := hashScalar(commitment, public, salt)
	if err != nil {
		return nil, err
	}
	return append(commitment, challenge.MultiplyAdd(challenge, secret, nonce).Bytes()...), nil
}

func hashScalar(parts ...[]byte) (*edwards25519.Scalar, error) {
	digest := sha512.Sum512(bytes.Join(parts, nil))
	s, err := edwards25519.NewScalar().SetUniformBytes(digest[:])
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	return s, nil
}

// scrambleSHA1 is the proof of mysql_native_password.
func scrambleSHA1(salt []byte, password string) []byte {
	if password == "" {
		return nil
	}
	once := sha1.Sum([]byte(password)) //nolint:gosec // the protocol wants it
	twice := sha1.Sum(once[:])         //nolint:gosec // the protocol wants it
	h := sha1.New()                    //nolint:gosec // the protocol wants it
	_, _ = h.Write(salt)
	_, _ = h.Write(twice[:])
	return xor(once[:], h.Sum(nil))
}

// scrambleSHA256 is the proof of caching_sha2_password.
func scrambleSHA256(salt []byte, password string) []byte {
	if password == "" {
		return nil
	}
	once := sha256.Sum256([]byte(password))
	twice := sha256.Sum256(once[:])
	h := sha256.New()
	_, _ = h.Write(twice[:])
	_, _ = h.Write(salt)
	return xor(once[:], h.Sum(nil))
}

func xor(a, b []byte) []byte {
	for i := range a {
		a[i] ^= b[i]
	}
	return a
}
