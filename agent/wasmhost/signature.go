package wasmhost

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// SignatureSuffix is what the name of a module's signature file ends with: it
// lies beside the module.
const SignatureSuffix = ".sig"

// A signature is over this text with the hash in hex digits, so that a key which
// signs other things as well cannot be made to vouch for a module.
const signedPrefix = "wasmtail parser module sha256:"

func signedText(sum []byte) []byte {
	return []byte(signedPrefix + hex.EncodeToString(sum))
}

// Sign returns the content of the signature file of a module with that sha256
// hash (32 bytes).
func Sign(key ed25519.PrivateKey, sum []byte) []byte {
	return []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(key, signedText(sum))) + "\n")
}

// ParseSignature reads the content of a signature file: 64 bytes in base64.
func ParseSignature(text []byte) ([]byte, error) {
	sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(sig) != ed25519.SignatureSize {
		return nil, errors.New("its signature is no ed25519 signature in base64")
	}
	return sig, nil
}

// ParsePublicKey reads a key as a configuration has it: ed25519: and 32 bytes in
// base64.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), "ed25519:")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%q is no public key; write ed25519: and the key in base64, as `wasmtail parser sign --new-key` prints it", text)
	}
	return ed25519.PublicKey(raw), nil
}

// FormatPublicKey is the text that ParsePublicKey reads.
func FormatPublicKey(key ed25519.PublicKey) string {
	return "ed25519:" + base64.StdEncoding.EncodeToString(key)
}
