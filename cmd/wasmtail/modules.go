package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/agent/wasmhost"
)

// compileCommandName is a command for this program itself: modules are compiled
// in a process that can be killed.
const compileCommandName = "compile-module"

// moduleCompiler is the command line of that process.
func moduleCompiler() []string {
	self, err := os.Executable()
	if err != nil {
		self = "/proc/self/exe"
	}
	return []string{self, compileCommandName}
}

func compileCommand() *cobra.Command {
	return &cobra.Command{
		Use: compileCommandName + " DIR", Hidden: true, Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wasmhost.CompileChild(cmd.InOrStdin(), args[0])
		},
	}
}

// openModules returns a host for commands that try modules. What it compiles is
// kept in the user's cache folder.
func openModules(log logrus.FieldLogger) (*wasmhost.Host, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("cannot find a folder for compiled modules: %w; set XDG_CACHE_HOME", err)
	}
	return wasmhost.Open(wasmhost.Options{Dir: filepath.Join(cache, "wasmtail", "modules"), Compiler: moduleCompiler(), Log: log})
}
