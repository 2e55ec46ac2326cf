package replication

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/mysqlserver"
)

const password = "a secret"

var salt = []byte("abcdefghijklmnopqrst")

// peer is the server's end of a connection.
type peer struct {
	net.Conn
	sequence byte
}

func (p *peer) send(payload ...byte) {
	n := len(payload)
	_, _ = p.Write(append([]byte{byte(n), byte(n >> 8), byte(n >> 16), p.sequence}, payload...))
	p.sequence++
}

func (p *peer) receive() []byte {
	var head [4]byte
	if _, err := io.ReadFull(p, head[:]); err != nil {
		return nil
	}
	p.sequence = head[3] + 1
	payload := make([]byte, int(head[0])|int(head[1])<<8)
	_, _ = io.ReadFull(p, payload)
	return payload
}

func (p *peer) greet(plugin string) {
	g := append([]byte{10}, "8.0.36\x00"...)
	g = append(append(g, 1, 0, 0, 0), salt[:8]...)
	g = append(g, 0, 0xff, 0xf7, 45, 2, 0, 0xff, 0xdf, 21)
	g = append(append(append(g, make([]byte, 10)...), salt[8:]...), 0)
	p.send(append(append(g, plugin...), 0)...)
}

// answer is the proof in a login, and the plugin it is for.
func (p *peer) answer() (proof []byte, plugin string) {
	rest := p.receive()
	if len(rest) < 34 {
		return nil, ""
	}
	_, rest, _ = bytes.Cut(rest[32:], []byte{0})
	n := int(rest[0])
	return rest[1 : 1+n], string(bytes.TrimSuffix(rest[1+n:], []byte{0}))
}

// serve takes one connection.
func serve(t *testing.T, talk func(*peer)) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		talk(&peer{Conn: c})
	}()
	return l.Addr().String()
}

func dial(t *testing.T, address string) error {
	t.Helper()
	c, err := Dial(t.Context(), address, &mysqlserver.Account{User: "u", Password: config.Secret(password), Timeout: 5 * time.Second})
	if err == nil {
		c.Close()
	}
	return err
}

var ok = []byte{0, 0, 0, 2, 0, 0, 0}

var denied = append([]byte{0xff, 0x15, 0x04}, "#28000Access denied"...)

// verdict says what the server of an account thinks of a proof.
func verdict(right bool) []byte {
	if right {
		return ok
	}
	return denied
}

// knowsNative checks a proof with what a server keeps: the hash of the hash.
func knowsNative(proof, salt []byte) bool {
	once := sha1.Sum([]byte(password))
	kept := sha1.Sum(once[:])
	mask := sha1.Sum(append(append([]byte{}, salt...), kept[:]...))
	if len(proof) != len(mask) {
		return false
	}
	candidate := sha1.Sum(xor(bytes.Clone(proof), mask[:]))
	return candidate == kept
}

func knowsSHA2(proof []byte) bool {
	once := sha256.Sum256([]byte(password))
	kept := sha256.Sum256(once[:])
	mask := sha256.Sum256(append(append([]byte{}, kept[:]...), salt...))
	if len(proof) != len(mask) {
		return false
	}
	candidate := sha256.Sum256(xor(bytes.Clone(proof), mask[:]))
	return candidate == kept
}

func TestLogin(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	sealed := func(box []byte) bool {
		text, err := rsa.DecryptOAEP(sha1.New(), nil, key, box, nil)
		if err != nil {
			return false
		}
		for i := range text {
			text[i] ^= salt[i%len(salt)]
		}
		return string(text) == password+"\x00"
	}
	for name, talk := range map[string]func(*peer){
		"native": func(p *peer) {
			p.greet(nativePassword)
			proof, plugin := p.answer()
			p.send(verdict(plugin == nativePassword && knowsNative(proof, salt))...)
		},
		"caching_sha2, known": func(p *peer) {
			p.greet(cachingSHA2)
			proof, _ := p.answer()
			if !knowsSHA2(proof) {
				p.send(denied...)
				return
			}
			p.send(1, 3)
			p.send(ok...)
		},
		"caching_sha2, not known yet": func(p *peer) {
			p.greet(cachingSHA2)
			_, _ = p.answer()
			p.send(1, 4)
			if request := p.receive(); !bytes.Equal(request, []byte{2}) {
				p.send(denied...)
				return
			}
			p.send(append([]byte{1}, public...)...)
			p.send(verdict(sealed(p.receive()))...)
		},
		"sha256": func(p *peer) {
			p.greet(sha256Password)
			if proof, _ := p.answer(); !bytes.Equal(proof, []byte{1}) {
				p.send(denied...)
				return
			}
			p.send(append([]byte{1}, public...)...)
			p.send(verdict(sealed(p.receive()))...)
		},
		"another way than the server's own": func(p *peer) {
			p.greet("a_plugin_of_tomorrow")
			_, _ = p.answer()
			other := []byte("12345678901234567890")
			p.send(append(append(append([]byte{0xfe}, nativePassword...), 0), append(other, 0)...)...)
			p.send(verdict(knowsNative(p.receive(), other))...)
		},
	} {
		t.Run(name, func(t *testing.T) { require.NoError(t, dial(t, serve(t, talk))) })
	}
}

func TestLoginIsRefused(t *testing.T) {
	told := make(chan []byte, 1)
	for problem, talk := range map[string]func(*peer){
		"Access denied": func(p *peer) { p.greet(nativePassword); _, _ = p.answer(); p.send(denied...) },
		"the server says 1040: Too many connections": func(p *peer) { p.send(append([]byte{0xff, 0x10, 0x04}, "Too many connections"...)...) },
		"enable tls": func(p *peer) {
			p.greet(nativePassword)
			_, _ = p.answer()
			p.send(append(append([]byte{0xfe}, clearPassword...), 0)...)
			told <- p.receive()
		},
		"this is no MySQL server":  func(p *peer) { p.send([]byte("SSH-2.0")...) },
		"before MySQL 4.1":         func(p *peer) { p.greet(nativePassword); _, _ = p.answer(); p.send(0xfe) },
		"shorter than it must be":  func(p *peer) { p.send(10, 0) },
		"asks without end":         func(p *peer) { p.greet(cachingSHA2); askOn(p) },
		"key is not understood":    func(p *peer) { p.greet(cachingSHA2); _, _ = p.answer(); p.send(1, 4); p.receive(); p.send(1, 'x') },
		"cannot read a packet: it": func(p *peer) { _, _ = p.Write([]byte{0, 0, 0, 7}) },
		"a_plugin_of_tomorrow": func(p *peer) {
			p.greet(nativePassword)
			_, _ = p.answer()
			p.send(append([]byte{0xfe}, "a_plugin_of_tomorrow\x00"...)...)
		},
		"EOF": func(p *peer) { p.greet(nativePassword) },
	} {
		t.Run(problem, func(t *testing.T) { require.ErrorContains(t, dial(t, serve(t, talk)), problem) })
	}
	require.Empty(t, <-told, "the password went out in clear")
}

func askOn(p *peer) {
	_, _ = p.answer()
	for range 20 {
		p.send(append(append([]byte{0xfe}, nativePassword+"\x00"...), salt...)...)
		if p.receive() == nil {
			return
		}
	}
}

// TestASlowServer is one that says nothing: the login ends with its time, or that of
// the caller.
func TestASlowServer(t *testing.T) {
	silent := func(p *peer) { p.receive() }
	c := &mysqlserver.Account{User: "u", Timeout: 50 * time.Millisecond}
	_, err := Dial(t.Context(), serve(t, silent), c)
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout())
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(p *peer) { p.greet(nativePassword); _, _ = p.answer(); cancel(); p.receive() })
	c.Timeout = time.Minute
	_, err = Dial(ctx, address, c)
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzLogin is a server that says anything.
func FuzzLogin(f *testing.F) {
	said := new(script)
	(&peer{Conn: said}).greet(nativePassword)
	f.Add(slices.Concat(said.sent.Bytes(), []byte{7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0}))
	f.Add(slices.Concat(said.sent.Bytes(), []byte{2, 0, 0, 2, 0xfe, 'x'}))
	f.Fuzz(func(t *testing.T, said []byte) {
		l := login{c: newConn(&script{Reader: bytes.NewReader(said)}, time.Second), user: "u", password: password}
		if l.run(t.Context()) == nil {
			require.Greater(t, len(said), 50, "nobody logs in without a greeting")
		}
	})
}

// script is a connection whose other end has said all it will.
type script struct {
	net.Conn
	io.Reader
	sent bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)      { return s.Reader.Read(p) }
func (s *script) Write(p []byte) (int, error)     { return s.sent.Write(p) }
func (s *script) SetReadDeadline(time.Time) error { return nil }
