// Command wasmtail-hub takes logs in as Log Service does, keeps them and shows
// them in a browser.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/wasmtail/wasmtail/hub"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// version is set by the build.
var version = "dev"

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "wasmtail-hub:", err)
		os.Exit(1)
	}
}

// run runs the hub until a signal ends it.
func run(o hub.Options, logOptions telemetry.LogOptions, readyFile string) error {
	log, err := telemetry.NewLogger(logOptions)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	end, err := telemetry.Start(ctx, telemetry.Options{Service: "wasmtail-hub", Version: version})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := end(ctx); err != nil {
			log.WithError(err).Debug("cannot send the last telemetry")
		}
	}()
	o.Version, o.Log = version, log
	o.Ready = func(a hub.Address) {
		if err := say(a, readyFile); err != nil {
			log.WithError(err).Error("cannot say where the hub is")
		}
	}
	return hub.Run(ctx, o)
}

// say prints where the hub is: for people on a terminal, as one line of JSON
// otherwise. The file, if any, gets the same JSON but for the login link.
func say(a hub.Address, readyFile string) error {
	key := ""
	if a.Key != nil {
		key = a.Key.ID
	}
	if readyFile != "" {
		if err := writeReady(readyFile, a.URL); err != nil {
			return err
		}
	}
	if term.IsTerminal(int(os.Stdout.Fd())) {
		fmt.Printf("wasmtail-hub %s listens on %s\nOpen %s (works once)\n", version, a.URL, a.LoginURL)
		if key != "" {
			fmt.Printf("A new access key, %s, is in the data directory's keys.yaml\n", key)
		}
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"url": a.URL, "login": a.LoginURL, "new_key": key, "version": version})
}
