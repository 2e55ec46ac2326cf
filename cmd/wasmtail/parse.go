package main

import "github.com/spf13/cobra"

func parseCommand() *cobra.Command { return &cobra.Command{Use: "parse"} }
