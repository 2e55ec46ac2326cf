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

const (
	// datagramMax is the longest datagram that is read whole over unix sockets: few
	// systems send longer ones.
	datagramMax = 256 << 10
	// packetMax is the longest UDP packet.
	packetMax = 64 << 10
	// mailboxBytes bounds the memory of a socket's mailbox, of which only what
	// datagrams have filled is ever used.
	mailboxBytes = 4 << 20
)

// socket reads datagrams.
type socket interface {
	net.Conn
	bufferer
}

// datagram is one that was received. Its memory is the mailbox's, until the next call.
type datagram struct {
	bytes, control []byte
	truncated      bool
	peer           netip.Addr // the zero one if it has none
}

// datagrams is a socket that is read.
type datagrams struct {
	l        *listener
	box      *mailbox
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
	box, err := newMailbox(pc.(socket), l.address.unix())
	if err != nil {
		return fmt.Errorf("cannot read from the socket: %w", err)
	}
	r := &datagrams{l: l, box: box, frames: framer{max: int(l.in.c.MaxMessageSize)}}
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

func (r *datagrams) run(ctx, work context.Context, pc net.PacketConn) error {
	for {
		if since := r.stopping.Load(); since != nil {
			now := time.Now()
			if now.Sub(*since) > drainMax {
				return nil
			}
			_ = pc.SetReadDeadline(now.Add(drainQuiet))
		}
		n, err := r.box.receive()
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
		if err := r.giveAll(work, n); err != nil {
			return err
		}
	}
}

// giveAll makes records of the datagrams in the mailbox. It blocks while the pipeline
// has no room.
func (r *datagrams) giveAll(work context.Context, n int) error {
	desk := r.l.desks[0]
	if !desk.take(work) {
		return context.Cause(work)
	}
	defer desk.leave()
	r.from.forget()
	for i := range n {
		d := r.box.at(i)
		if i == n-1 { // the count is that of the time it came
			r.countLost(d.control)
		}
		if d.peer != r.peer {
			r.peer = d.peer
			r.from = sender{address: d.peer.Unmap().AppendTo(r.from.address[:0])}
		}
		if err := r.give(work, desk, &d); err != nil {
			return err
		}
	}
	return nil
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

// give makes a record of a datagram, or several if it is too long.
func (r *datagrams) give(work context.Context, desk *desk, d *datagram) error {
	line := trimEnd(d.bytes)
	if len(line) == 0 {
		return nil
	}
	if d.truncated {
		r.l.drop("oversize", 1)
		r.l.log().WithField("bytes", len(line)).Warn("the end of a datagram is lost: it is longer than can be read")
	}
	if len(line) > r.frames.max {
		r.l.countSplit()
	}
	f := frame{split: d.truncated}
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
