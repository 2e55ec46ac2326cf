package documents

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/toolchain"
)

// TestLanguages_ShowTheSourceThatInitWrites holds the page of each language to the
// source of a new project, which the tests build and run.
func TestLanguages_ShowTheSourceThatInitWrites(t *testing.T) {
	for _, language := range toolchain.Languages {
		sources, err := filepath.Glob(filepath.Join(root, "internal/toolchain/templates", language, "*.tmpl"))
		require.NoError(t, err)
		source := ""
		for _, name := range sources {
			if base := filepath.Base(name); strings.HasPrefix(base, "parser.") || base == "main.go.tmpl" {
				text, err := os.ReadFile(name)
				require.NoError(t, err)
				source = strings.ReplaceAll(string(text), "@NAME@", "level")
			}
		}
		require.NotEmpty(t, source, language)
		page, err := os.ReadFile(filepath.Join(root, "docs/wasm", language+".md"))
		require.NoError(t, err)
		blocks := strings.Split(string(page), "\n```")
		require.Len(t, blocks, len(strings.Split(string(page), "```")), "a fence stands at the start of a line")
		require.Len(t, blocks, 3, "%s shows one source", language)
		_, shown, _ := strings.Cut(blocks[1], "\n")
		require.Equal(t, strings.TrimSuffix(source, "\n"), shown, language)
	}
}

// TestPages_AreAllOnTheMap finds a page that nobody can find.
func TestPages_AreAllOnTheMap(t *testing.T) {
	start, err := os.ReadFile(filepath.Join(root, "docs/wasm/README.md"))
	require.NoError(t, err)
	pages, err := filepath.Glob(filepath.Join(root, "docs/wasm/*.md"))
	require.NoError(t, err)
	require.Greater(t, len(pages), 8)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			require.Contains(t, string(start), "]("+name+")")
		}
	}
}
