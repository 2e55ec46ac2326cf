package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
	"github.com/wasmtail/wasmtail/internal/durable"
)

func parserSignCommand() *cobra.Command {
	var key string
	var newKey bool
	cmd := &cobra.Command{
		Use:   "sign [FILE.wasm] --key KEYFILE",
		Short: "Sign a module, for agents with modules.require_signed_by",
		Example: `  wasmtail parser sign --key release.key --new-key
  wasmtail parser sign nginx.wasm --key release.key`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case key == "":
				return &exitError{exitUsage, errors.New("name the file of the private key with --key")}
			case newKey:
				return makeKey(cmd, key)
			case len(args) == 0:
				return &exitError{exitUsage, errors.New("name the module to sign")}
			}
			return signModule(cmd, args[0], key)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`FILE` of the private key")
	cmd.Flags().BoolVar(&newKey, "new-key", false, "make a new key in that file, and print the public key for the agents' configuration")
	return cmd
}

// makeKey writes the seed of a new key, readable by its owner only.
func makeKey(cmd *cobra.Command, path string) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("cannot make a key: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return &exitError{exitUsage, fmt.Errorf("%s is there already; a key is never overwritten", path)}
	}
	text := base64.StdEncoding.EncodeToString(private.Seed()) + "\n"
	if err := durable.WriteFile(durable.OS{}, path, []byte(text)); err != nil {
		return fmt.Errorf("cannot write the key: %w", err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), wasmhost.FormatPublicKey(public))
	return err
}

func signModule(cmd *cobra.Command, module, keyPath string) error {
	text, err := os.ReadFile(keyPath)
	if err != nil {
		return fmt.Errorf("cannot read the key: %w", err)
	}
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return &exitError{exitConfig, fmt.Errorf("%s is no private key; `wasmtail parser sign --new-key` makes one", keyPath)}
	}
	bin, err := os.ReadFile(module)
	if err != nil {
		return fmt.Errorf("cannot read the module: %w", err)
	}
	sum := sha256.Sum256(bin)
	path := module + wasmhost.SignatureSuffix
	if err := durable.WriteFile(durable.OS{}, path, wasmhost.Sign(ed25519.NewKeyFromSeed(seed), sum[:])); err != nil {
		return fmt.Errorf("cannot write the signature: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\nsha256: %x\n", path, sum)
	return err
}
