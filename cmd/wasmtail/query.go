package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/valyala/fastjson"
)

// lineBytesMax is the longest line of an answer of the hub that is accepted: a
// record of the largest size with every byte escaped.
const lineBytesMax = 16 << 20

func queryCommand() *cobra.Command {
	var hub hubAccess
	var logstore, start, end, output string
	var limit int
	cmd := &cobra.Command{
		Use:   "query [QUERY]",
		Short: "Search the hub's logs, the newest last",
		Example: `  wasmtail query error                        # the word, in the last 15 minutes
  wasmtail query 'status:>=500' --since 2h --logstore nginx
  wasmtail query '* | stats by (status) count()' -o json`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := hub.resolve(cmd); err != nil {
				return err
			}
			params := url.Values{"query": args, "limit": {strconv.Itoa(limit)}}
			if logstore != "" {
				params.Set("logstore", logstore)
			}
			from, err := parseWhen(start, time.Now())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			to, err := parseWhen(end, time.Now())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			params.Set("start", from.Format(time.RFC3339Nano))
			params.Set("end", to.Format(time.RFC3339Nano))
			body, err := hub.get(cmd.Context(), "/api/v1/query", params)
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			return printRecords(cmd.OutOrStdout(), body, output)
		},
	}
	hub.flags(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVarP(&logstore, "logstore", "l", "", "logstore to look into; all if not set")
	cmd.Flags().StringVar(&start, "since", "15m", "from when: a duration before now, or a time")
	cmd.Flags().StringVar(&end, "until", "0s", "until when: a duration before now, or a time")
	cmd.Flags().IntVarP(&limit, "limit", "n", 100, "most records to print")
	return cmd
}

// parseWhen understands a duration before now and a time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot understand the time %q: write a duration such as 2h or a time such as 2006-01-02T15:04:05Z", text)
}

// printRecords prints an answer of the hub, which has the newest record first,
// in the order of time.
func printRecords(w io.Writer, body io.Reader, output string) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, lineBytesMax)
	var all [][]byte
	for lines.Scan() {
		if len(lines.Bytes()) > 0 {
			all = append(all, bytes.Clone(lines.Bytes()))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read the hub's answer: %w", err)
	}
	out := bufio.NewWriter(w)
	for i := len(all) - 1; i >= 0; i-- {
		if err := printRecord(out, all[i], output); err != nil {
			return err
		}
	}
	return out.Flush()
}

func printRecord(w *bufio.Writer, line []byte, output string) error {
	if output == "json" {
		for _, r := range string(line) {
			if isControl(r) { // JSON allows some of them as they are
				_, _ = fmt.Fprintf(w, "\\u%04x", r)
				continue
			}
			_, _ = w.WriteRune(r)
		}
		return w.WriteByte('\n')
	}
	record, err := fastjson.ParseBytes(line)
	if err != nil {
		return fmt.Errorf("cannot read the hub's answer: %w", err)
	}
	object, err := record.Object()
	if err != nil {
		return errors.New("cannot read the hub's answer: it is not an object")
	}
	if t := record.GetStringBytes("_time"); t != nil {
		_, _ = fmt.Fprintf(w, "%s  ", t)
	}
	message := string(record.GetStringBytes("_msg"))
	shown := printable([]byte(message))
	_, _ = w.WriteString(shown)
	object.Visit(func(key []byte, v *fastjson.Value) {
		value := string(v.GetStringBytes())
		field := printable(key) + "=" + quoted(value)
		// A message that the hub made of the fields has them already.
		if len(key) > 0 && key[0] == '_' || value == message || strings.Contains(" "+shown+" ", " "+field+" ") {
			return
		}
		_, _ = w.WriteString("  " + field)
	})
	return w.WriteByte('\n')
}

// printable escapes control characters, and bytes that are no UTF-8, which may
// be such in another encoding: a log line must not drive a terminal.
func printable(s []byte) string {
	if utf8.Valid(s) && bytes.IndexFunc(s, isControl) < 0 {
		return string(s)
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "\\x%02x", s[0])
		case isControl(r):
			fmt.Fprintf(&b, "\\x%02x", r)
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 }

// quoted quotes a value that is not one plain word.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"\n\t=") || strings.ContainsFunc(s, isControl) || !utf8.ValidString(s) {
		return strconv.Quote(s)
	}
	return s
}
