package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/wasmtail/wasmtail/internal/record"
)

// datagramMax is the longest datagram that is read whole: no UDP packet is longer,
// and few systems send longer ones over unix sockets.
const datagramMax = 256 << 10

// socket reads datagrams.
type socket interface {
	net.Conn
	bufferer
}

// datagrams is a socket that is read.
type datagrams struct {
	l        *listener
	read     func() (n, control int, truncated bool, from netip.AddrPort, err error)
	buf, oob []byte
	lost     uint32 // as the system has counted it
	peer     netip.Addr
	from     sender
	frames   framer
	stopping atomic.Pointer[time.Time]
}

// receive reads datagrams until ctx ends.
func (l *listener) receive(ctx, work context.Context) error {
	if err := l.clearSocket(); err != nil {
		return err
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, l.address.network(), l.address.place)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	defer func() {
		_ = pc.Close()
		if l.address.unix() {
			_ = os.Remove(l.address.place) // the next one would, too
		}
	}()
	if err := l.openSocket(); err != nil {
		return err
	}
	asked := int(l.in.c.ReceiveBuffer)
	granted, err := growBuffer(pc.(socket), asked)
	if err != nil {
		return fmt.Errorf("cannot set the receive buffer: %w", err)
	}
	l.granted.Store(int64(granted))
	log := l.log().WithField("granted_bytes", granted)
	if granted < asked {
		log.WithField("receive_buffer", asked).Warn("the system keeps less for datagrams than it was asked to; raise net.core.rmem_max, or give CAP_NET_ADMIN")
	} else {
		log.Info("the system keeps datagrams that wait")
	}
	r := &datagrams{l: l, buf: make([]byte, datagramMax), oob: make([]byte, controlBytes), frames: framer{max: int(l.in.c.MaxMessageSize)}}
	r.bind(pc)
	stop := context.AfterFunc(ctx, func() {
		now := time.Now()
		r.stopping.Store(&now)
		_ = pc.SetReadDeadline(now.Add(drainQuiet))
	})
	defer stop()
	l.listening(pc.LocalAddr().String())
	defer l.bound.Store(nil)
	return r.run(ctx, work, pc)
}

func (r *datagrams) bind(pc net.PacketConn) {
	switch s := pc.(type) {
	case *net.UDPConn:
		r.read = func() (int, int, bool, netip.AddrPort, error) {
			n, control, flags, from, err := s.ReadMsgUDPAddrPort(r.buf, r.oob)
			return n, control, isTruncated(flags), from, err
		}
	case *net.UnixConn:
		r.read = func() (int, int, bool, netip.AddrPort, error) {
			n, control, flags, _, err := s.ReadMsgUnix(r.buf, r.oob)
			return n, control, isTruncated(flags), netip.AddrPort{}, err
		}
	}
}

func (r *datagrams) run(ctx, work context.Context, pc net.PacketConn) error {
	for {
		if since := r.stopping.Load(); since != nil {
			now := time.Now()
			if now.Sub(*since) > drainMax {
				return nil
			}
			_ = pc.SetReadDeadline(now.Add(drainQuiet))
		}
		n, control, truncated, from, err := r.read()
		switch {
		case err == nil:
		case isTimeout(err) && ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("cannot go on listening: %w", err)
		default: // an answer to nothing that was sent, such as a refused port
			if !wait(ctx, drainQuiet) {
				return nil
			}
			continue
		}
		r.countLost(r.oob[:control])
		if err := r.give(work, trimEnd(r.buf[:n]), truncated, from.Addr()); err != nil {
			return err
		}
	}
}

// countLost counts datagrams for which the system had no room.
func (r *datagrams) countLost(control []byte) {
	total, ok := overflow(control)
	if !ok || total == r.lost {
		return
	}
	n := total - r.lost // it wraps around
	r.lost = total
	r.l.drop("full", int64(n))
	r.l.log().WithField("datagrams", n).Warn("datagrams are lost: the receive buffer was full")
}

// give makes a record of a datagram, or several if it is too long. It blocks while
// the pipeline has no room.
func (r *datagrams) give(work context.Context, line []byte, truncated bool, peer netip.Addr) error {
	if len(line) == 0 {
		return nil
	}
	if peer != r.peer {
		r.peer = peer
		r.from = sender{address: peer.Unmap().AppendTo(r.from.address[:0])}
	}
	desk := r.l.desks[0]
	if !desk.take(work) {
		return context.Cause(work)
	}
	defer desk.leave()
	r.from.forget()
	if truncated {
		r.l.drop("oversize", 1)
		r.l.log().WithField("bytes", len(line)).Warn("the end of a datagram is lost: it is longer than can be read")
	}
	if len(line) > r.frames.max {
		r.l.countSplit()
	}
	f := frame{split: truncated}
	for len(line) > 0 {
		f.bytes = line
		if len(line) > r.frames.max {
			f.bytes, f.split = wholeCharacters(line[:r.frames.max]), true
		}
		line = line[len(f.bytes):]
		desk.add(f, &r.from, record.Mark(0))
		f.more = true
		if desk.batcher.Full() {
			r.from.forget()
			if err := desk.flush(work); err != nil {
				return err
			}
		}
	}
	return nil
}
