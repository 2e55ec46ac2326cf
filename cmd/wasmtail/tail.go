package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/valyala/fastjson"
)

func tailCommand() *cobra.Command {
	var hub hubAccess
	var logstore, output string
	cmd := &cobra.Command{
		Use:   "tail [QUERY]",
		Short: "Print the hub's logs as they arrive, until interrupted",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := hub.resolve(cmd); err != nil {
				return err
			}
			params := url.Values{"query": args}
			if logstore != "" {
				params.Set("logstore", logstore)
			}
			body, err := hub.get(cmd.Context(), "/api/v1/tail", params)
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			err = printEvents(cmd.OutOrStdout(), cmd.ErrOrStderr(), body, output)
			if cmd.Context().Err() != nil {
				return nil // interrupted: that is how a tail ends
			}
			return err
		},
	}
	hub.flags(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVarP(&logstore, "logstore", "l", "", "logstore to follow; all if not set")
	return cmd
}

// printEvents prints the records of a stream of server-sent events.
func printEvents(w, notes io.Writer, body io.Reader, output string) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, lineBytesMax)
	out := bufio.NewWriter(w)
	event := ""
	for lines.Scan() {
		line := lines.Bytes()
		switch name, data, _ := bytes.Cut(line, []byte(": ")); string(name) {
		case "event":
			event = string(data)
		case "data":
			if event == "dropped" {
				_, _ = fmt.Fprintf(notes, "the hub left records out, this reader is too slow: %s\n", data)
				continue
			}
			records, err := fastjson.ParseBytes(data)
			if err != nil {
				return fmt.Errorf("cannot read the hub's stream: %w", err)
			}
			for _, r := range records.GetArray() {
				if err := printRecord(out, r.MarshalTo(nil), output); err != nil {
					return err
				}
			}
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return &exitError{exitUnavailable, fmt.Errorf("cannot go on reading from the hub: %w", err)}
	}
	return &exitError{exitUnavailable, io.ErrUnexpectedEOF}
}
