package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wasmtail/wasmtail/hub"
	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// envPrefix begins the environment variable of each flag: --data-dir is
// WASMTAIL_HUB_DATA_DIR.
const envPrefix = "WASMTAIL_HUB_"

// command returns the command line.
func command() *cobra.Command {
	var o hub.Options
	var logOptions telemetry.LogOptions
	var readyFile string
	root := &cobra.Command{
		Use:           "wasmtail-hub",
		Short:         "Take logs in, keep them, and show them in a browser",
		Long:          "wasmtail-hub takes logs in as Log Service does, keeps them and shows them in a browser.\nEach flag can be set by an environment variable: --data-dir by WASMTAIL_HUB_DATA_DIR.\nThe secret of --key-id is read from WASMTAIL_HUB_KEY_SECRET only.",
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		PreRunE:       func(c *cobra.Command, _ []string) error { return fromEnvironment(c.Flags()) },
		RunE: func(*cobra.Command, []string) error {
			o.KeySecret = os.Getenv(envPrefix + "KEY_SECRET")
			return run(o, logOptions, readyFile)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&o.DataDir, "data-dir", "hub-state", "directory of all state")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7070", "address for clients and the console")
	f.StringVar(&o.TLSCert, "tls-cert", "", "certificate file (PEM) to serve HTTPS")
	f.StringVar(&o.TLSKey, "tls-key", "", "key file (PEM) of --tls-cert")
	f.StringVar(&o.Endpoint, "endpoint", "", "the hub's own host name; what stands before it in a request's Host is the project")
	f.StringVar(&o.DefaultProject, "project", "default", "project of requests that name none")
	f.StringVar(&o.KeyID, "key-id", "", "one more access key, for all projects")
	f.StringVar(&o.KeyFile, "key-file", "", "file of access keys (default: keys.yaml in the data directory)")
	f.BoolVar(&o.AllowV1, "allow-v1", false, "accept signatures of version 1 (HMAC-SHA1)")
	f.BoolVar(&o.AllowUnhashedBody, "allow-unhashed-body", false, "accept bodies that the signature does not cover")
	f.BoolVar(&o.RefuseUnknownLogstores, "no-create", false, "refuse log stores that do not exist instead of making them")
	f.StringVar(&o.LoginTokenFile, "login-token-file", "", "file that always holds the token for the next login")
	f.StringVar(&o.StoreURL, "store-url", "", "VictoriaLogs server to write to, instead of the store inside")
	f.StringVar(&o.SelectURL, "select-url", "", "VictoriaLogs server to query (default: that of --store-url)")
	f.DurationVar(&o.StoreSettle, "store-settle", 12*time.Second, "how long servers of --store-url may hold rows in memory only")
	f.StringVar(&o.NATSURL, "nats-url", "", "NATS server or cluster for the ingest stream, instead of the one inside")
	f.IntVar(&o.Replicas, "nats-replicas", 1, "how many servers of a NATS cluster hold each batch")
	f.Var((*age)(&o.Retention), "retention", "age at which records are deleted, such as 30d")
	f.Var((*size)(&o.MemoryBytesMax), "memory", "memory for caches of the store inside and for queries, such as 2GiB (default: a quarter of the machine's)")
	f.Var((*size)(&o.DiskBytesMax), "max-disk", "disk space of the store inside, such as 50GiB; the oldest days go first (default: no bound)")
	f.Var((*size)(&o.QueueBytesMax), "max-queue", "disk space of batches that wait for the store (default 8GiB)")
	f.Var((*size)(&o.RawBytesMax), "max-body", "largest inflated body of a request (default 10MiB)")
	f.StringVar(&logOptions.Level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&logOptions.Format, "log-format", "auto", "auto (text on a terminal, JSON otherwise), text or json")
	f.StringVar(&readyFile, "ready-file", "", "file that is written when the hub is ready")
	root.AddCommand(&cobra.Command{
		Use: "run", Short: "Run the hub (the same as no command)", Args: cobra.NoArgs, PreRunE: root.PreRunE, RunE: root.RunE,
	})
	return root
}

// fromEnvironment sets the flags that the command line does not, and checks
// that unknown variables of ours do not pass unnoticed.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || f.Changed || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("cannot use the environment variable %s: %w", name, e)
		}
	})
	return err
}

// writeReady writes the file that says that the hub is ready.
func writeReady(name, url string) error {
	data, err := json.Marshal(map[string]any{"url": url, "pid": os.Getpid()})
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, name, append(data, '\n'))
}

// size is a number of bytes as a flag.
type size int64

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return humanize.IBytes(uint64(*s))
}

func (s *size) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<60 {
		return fmt.Errorf("%q is not a size such as 10GiB", text)
	}
	*s = size(n)
	return nil
}

func (*size) Type() string { return "size" }

// age is a duration as a flag that takes days too.
type age time.Duration

func (a *age) String() string {
	if *a == 0 {
		return "30d"
	}
	return time.Duration(*a).String()
}

func (a *age) Set(text string) error {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 24*time.Hour {
		return fmt.Errorf("%q is not an age of at least one day, such as 30d", text)
	}
	*a = age(d)
	return nil
}

func (*age) Type() string { return "age" }
