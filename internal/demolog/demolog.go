// Package demolog writes realistic logs for trying the product out: an nginx
// access log and the log of a shop application, with bursts, errors, stack
// traces and rotation.
//
// The lines are invented. Nothing runs after Run returns.
package demolog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// Files are the names of the files that Run writes, in its folder.
var Files = [...]string{"nginx-access.log", "shop.log"}

// rotateBytes is when a file is renamed to name.1 and begun anew: often enough
// that a short look at the product sees a rotation.
const rotateBytes = 4 << 20

// Run writes about rate lines a second into dir until ctx ends.
func Run(ctx context.Context, dir string, rate int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot create the folder for demonstration logs: %w", err)
	}
	const ticksPerSecond = 10
	tick := time.NewTicker(time.Second / ticksPerSecond)
	defer tick.Stop()
	g := generator{rnd: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))} //nolint:gosec // what is made is no secret
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			n := max(1, rate/ticksPerSecond/2)
			for i, line := range [...]func([]byte, time.Time) []byte{g.access, g.shop} {
				buf = buf[:0]
				for range n/2 + g.rnd.IntN(n+1) {
					buf = line(buf, now)
				}
				if err := appendFile(filepath.Join(dir, Files[i]), buf); err != nil {
					return fmt.Errorf("cannot write demonstration logs: %w", err)
				}
			}
		}
	}
}

func appendFile(path string, data []byte) error {
	if info, err := os.Stat(path); err == nil && info.Size() > rotateBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

type generator struct{ rnd *rand.Rand }

func pick[T any](g *generator, from []T) T { return from[g.rnd.IntN(len(from))] }

var (
	paths   = []string{"/", "/cart", "/cart/items", "/search?q=boots", "/product/8812", "/product/301", "/login", "/api/orders", "/assets/app.js", "/assets/app.css", "/favicon.ico"}
	methods = []string{"GET", "GET", "GET", "GET", "POST", "PUT"}
	agents  = []string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15", "curl/8.14.1", "shop-mobile/4.2",
	}
	users = []string{"-", "-", "-", "-", "maria", "jonas", "li"}
	works = []string{"order %d paid", "cart %d saved", "stock of item %d checked", "mail for order %d queued", "session %d opened"}
)

func (g *generator) status() int {
	switch n := g.rnd.IntN(100); {
	case n < 88:
		return 200
	case n < 93:
		return 304
	case n < 97:
		return 404
	case n < 99:
		return 302
	default:
		return 502
	}
}

func (g *generator) access(dst []byte, now time.Time) []byte {
	return fmt.Appendf(dst, "203.0.113.%d - %s [%s] \"%s %s HTTP/1.1\" %d %d \"https://shop.example/\" \"%s\"\n",
		g.rnd.IntN(254)+1, pick(g, users), now.Format("02/Jan/2006:15:04:05 -0700"), pick(g, methods), pick(g, paths),
		g.status(), g.rnd.IntN(90_000), pick(g, agents))
}

func (g *generator) shop(dst []byte, now time.Time) []byte {
	at := now.Add(time.Duration(g.rnd.IntN(100)) * time.Millisecond).Format("2006-01-02 15:04:05.000")
	thread := g.rnd.IntN(8) + 1
	id := g.rnd.IntN(90_000) + 10_000
	switch n := g.rnd.IntN(200); {
	case n < 3:
		return fmt.Appendf(dst, "%s [http-%d] ERROR com.shop.Checkout - payment of order %d failed\n"+
			"java.net.SocketTimeoutException: Read timed out\n"+
			"\tat com.shop.pay.Gateway.charge(Gateway.java:118)\n"+
			"\tat com.shop.Checkout.pay(Checkout.java:64)\n", at, thread, id)
	case n < 12:
		return fmt.Appendf(dst, "%s [http-%d] WARN  com.shop.Stock - item %d is low: %d left\n", at, thread, id, g.rnd.IntN(5))
	default:
		return fmt.Appendf(dst, "%s [http-%d] INFO  com.shop.Orders - "+pick(g, works)+"\n", at, thread, id)
	}
}
