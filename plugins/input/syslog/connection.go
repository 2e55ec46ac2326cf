package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmtail/wasmtail/internal/record"
)

// handshakeTimeout bounds the beginning of an encrypted connection.
const handshakeTimeout = 10 * time.Second

// accept serves connections until ctx ends.
func (l *listener) accept(ctx, work context.Context) error {
	encrypt, err := l.encryption()
	if err != nil {
		return err
	}
	if err := l.clearSocket(); err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, l.address.network(), l.address.place)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	defer func() { _ = ln.Close() }()
	if err := l.openSocket(); err != nil {
		return err
	}
	l.listening(ln.Addr().String())
	defer l.bound.Store(nil)
	var all sync.WaitGroup
	defer all.Wait()
	for number := 0; ; number++ {
		nc, err := ln.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("cannot go on listening: %w", err)
		default: // such as no more descriptors: that passes
			l.drop("limit", 1)
			l.log().WithError(err).Error("a connection cannot be taken")
			if !wait(ctx, 100*time.Millisecond) {
				return fmt.Errorf("cannot go on listening: %w", err)
			}
			continue
		}
		select {
		case l.in.places <- struct{}{}:
		default:
			_ = nc.Close()
			l.drop("limit", 1)
			l.log().WithField("max_connections", l.in.c.MaxConnections).Warn("a connection is refused: there are as many as max_connections allows")
			continue
		}
		all.Go(func() {
			defer func() { <-l.in.places }()
			l.serve(ctx, work, nc, encrypt)
		})
	}
}

// encryption is what connections are encrypted with, nil for none.
func (l *listener) encryption() (*tls.Config, error) {
	if l.address.scheme != "tls" {
		return nil, nil //nolint:nilnil // that is the documented answer
	}
	t := l.in.c.TLS
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot load tls.cert_file: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: load}
	if t.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if t.ClientCAFile != "" {
		pem, err := os.ReadFile(t.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read tls.client_ca_file: %w", err)
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use tls.client_ca_file %s: it holds no certificate in PEM form", t.ClientCAFile)
		}
	}
	return c, nil
}

// connection is one that is read.
type connection struct {
	l        *listener
	nc       net.Conn
	frames   framer
	from     sender
	desk     *desk
	progress time.Time // when the last message was whole, or the pipeline had room again
	stopping atomic.Pointer[time.Time]
}

// serve reads a connection to its end, and closes it.
func (l *listener) serve(ctx, work context.Context, nc net.Conn, encrypt *tls.Config) {
	l.peers.Add(1)
	defer l.peers.Add(-1)
	remote := nc.RemoteAddr().String()
	c := &connection{l: l, nc: nc, frames: framer{max: int(l.in.c.MaxMessageSize), zero: l.address.unix()}, desk: l.deskOf(remote), progress: time.Now()}
	if host, _, err := net.SplitHostPort(remote); err == nil {
		c.from.address = []byte(host)
	}
	defer func() { _ = c.nc.Close() }()
	log := l.log().WithField("peer", remote)
	if encrypt != nil {
		secured := tls.Server(nc, encrypt)
		bounded, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		if err := secured.HandshakeContext(bounded); err != nil {
			l.drop("unauthorised", 1)
			log.WithError(err).Warn("a connection is refused: its encryption cannot be agreed on")
			return
		}
		c.nc = secured
	}
	stop := context.AfterFunc(ctx, func() {
		now := time.Now()
		c.stopping.Store(&now)
		_ = nc.SetReadDeadline(now.Add(drainQuiet))
	})
	defer stop()
	err := c.read(work)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errLength):
		l.drop("malformed", 1)
		log.WithError(err).Warn("a connection is closed; what was read of it is kept as one record")
	case isTimeout(err):
		l.drop("idle", 1)
		log.WithField("idle_timeout", l.in.c.IdleTimeout).Warn("a connection is closed: no whole message came for too long")
	default:
		log.WithError(err).Info("a connection has ended early")
	}
}

// read reads until the end of the connection or until it is to stop. What is left at
// the end is a record.
func (c *connection) read(work context.Context) error {
	for {
		c.setDeadline()
		n, err := c.frames.fill(c.nc)
		if n > 0 {
			if failed := c.give(work); failed != nil {
				err = failed
			}
		}
		if err != nil {
			if failed := c.giveRest(work); failed != nil {
				return failed
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
	}
}

// setDeadline lets the next read wait for as long as it may.
func (c *connection) setDeadline() {
	_ = c.nc.SetReadDeadline(c.progress.Add(c.l.in.c.IdleTimeout)) // a read would fail, too
	if since := c.stopping.Load(); since != nil {
		end := since.Add(drainMax)
		if quiet := time.Now().Add(drainQuiet); quiet.Before(end) {
			end = quiet
		}
		_ = c.nc.SetReadDeadline(end)
	}
}

// give makes records of all messages that were read whole. It blocks while the
// pipeline has no room.
func (c *connection) give(work context.Context) error {
	if !c.desk.take(work) {
		return context.Cause(work)
	}
	defer c.desk.leave()
	c.from.forget()
	for {
		f, err := c.frames.next()
		if errors.Is(err, errMore) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.add(work, f, 0); err != nil {
			return err
		}
		c.progress = time.Now()
	}
}

// add makes a record, and gives a batch on that is full. The caller has the turn.
func (c *connection) add(work context.Context, f frame, marks record.Mark) error {
	if f.split && !f.more {
		c.l.countSplit()
	}
	c.desk.add(f, &c.from, marks)
	if !c.desk.batcher.Full() {
		return nil
	}
	c.from.forget()
	return c.desk.flush(work)
}

func (c *connection) giveRest(work context.Context) error {
	f := c.frames.rest()
	if len(f.bytes) == 0 {
		return nil
	}
	if !c.desk.take(work) {
		return context.Cause(work)
	}
	defer c.desk.leave()
	c.from.forget()
	return c.add(work, f, record.Partial)
}

// clearSocket removes a socket that nobody listens to any more.
func (l *listener) clearSocket() error {
	if !l.address.unix() {
		return nil
	}
	info, err := os.Lstat(l.address.place)
	if err != nil {
		return nil //nolint:nilerr // it is not there, or listening says what is wrong
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("cannot listen on %s: it is no socket; remove it", l.address.place)
	}
	var d net.Dialer
	nc, err := d.DialContext(context.Background(), l.address.network(), l.address.place)
	if err == nil {
		_ = nc.Close()
		return fmt.Errorf("cannot listen on %s: another process does", l.address.place)
	}
	if err := os.Remove(l.address.place); err != nil {
		return fmt.Errorf("cannot replace the socket of a process that is gone: %w", err)
	}
	return nil
}

// openSocket gives a socket its permissions.
func (l *listener) openSocket() error {
	if !l.address.unix() {
		return nil
	}
	mode, _ := l.in.c.socketMode() // Validate has looked at it
	if err := os.Chmod(l.address.place, mode); err != nil {
		return fmt.Errorf("cannot let senders use the socket: %w", err)
	}
	return nil
}
