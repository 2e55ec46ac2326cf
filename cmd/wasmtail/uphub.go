package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// hubStartMax is how long a hub may take to be ready: opening a large store
// takes seconds.
const hubStartMax = 60 * time.Second

// hubProcess is a hub that runs as a child.
type hubProcess struct {
	cmd                    *exec.Cmd
	url, loginURL, logPath string
	exited                 chan struct{}
}

// startHub starts the hub and waits until it is ready.
func startHub(ctx context.Context, o upOptions, state string, key accessKey) (*hubProcess, error) {
	binary, err := hubBinary(o.hub)
	if err != nil {
		return nil, err
	}
	listen, err := freeAddress(ctx, o.listen)
	if err != nil {
		return nil, err
	}
	tokenFile := filepath.Join(state, "login-token")
	h := &hubProcess{url: "http://" + listen, logPath: filepath.Join(state, "hub.log"), exited: make(chan struct{})}
	log, err := os.OpenFile(h.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the hub's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	//nolint:gosec,noctx // the program beside this one, with flags made here; stop ends it, after the agent
	h.cmd = exec.Command(binary, "--data-dir", filepath.Join(state, "hub"), "--listen", listen, "--login-token-file", tokenFile)
	h.cmd.Env = append(os.Environ(), "WASMTAIL_HUB_KEY_ID="+key.id, "WASMTAIL_HUB_KEY_SECRET="+key.secret)
	h.cmd.Stdout, h.cmd.Stderr = log, log
	// Ctrl-C goes to the whole terminal: the hub must outlive the agent.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the hub: %w", err)
	}
	go func() {
		defer close(h.exited)
		_ = h.cmd.Wait() // how it ended stands in its log
	}()
	if err := h.waitReady(ctx); err != nil {
		h.stop()
		return nil, err
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		h.stop()
		return nil, fmt.Errorf("cannot read the hub's login token: %w", err)
	}
	h.loginURL = h.url + "/login?token=" + strings.TrimSpace(string(token))
	return h, nil
}

func (h *hubProcess) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hubStartMax)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+"/readyz", http.NoBody)
		if err != nil {
			return fmt.Errorf("cannot ask the hub: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-h.exited:
			return &exitError{exitUnavailable, fmt.Errorf("the hub did not start: %s; more is in %s", lastLine(h.logPath), h.logPath)}
		case <-ctx.Done():
			return &exitError{exitUnavailable, fmt.Errorf("the hub was not ready: %w; see %s", context.Cause(ctx), h.logPath)}
		}
	}
}

// lastLine is the last line of a log, at most 500 bytes of it.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "its log cannot be read"
	}
	text = bytes.TrimSpace(text)
	line := text[bytes.LastIndexByte(text, '\n')+1:]
	return strings.ToValidUTF8(string(line[:min(len(line), 500)]), "\uFFFD")
}

// stop ends the hub and waits for it.
func (h *hubProcess) stop() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	<-h.exited
}

func hubBinary(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "wasmtail-hub")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("wasmtail-hub")
	if err != nil {
		return "", &exitError{exitUnavailable, errors.New("cannot find wasmtail-hub beside this program or on the PATH: build it with make build, or name it with --hub-binary")}
	}
	return path, nil
}

// freeAddress returns address if it can be listened on, else one with another
// port.
func freeAddress(ctx context.Context, address string) (string, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			return "", &exitError{exitUsage, fmt.Errorf("cannot listen on %q: %w", address, splitErr)}
		}
		if listener, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", fmt.Errorf("cannot listen on any port of %s: %w", host, err)
		}
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}
