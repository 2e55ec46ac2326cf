package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/formats"
)

// framedConfig is the settings of an input that reads files.
type framedConfig struct {
	Include []string `yaml:"include"`
	format  string
}

func (c *framedConfig) UseFormat(name string) { c.format = name }

func formatCatalog() Catalog {
	cat := testCatalog()
	cat["input"]["framed"] = func() any { return new(framedConfig) }
	return cat
}

func TestParse_Format(t *testing.T) {
	read := func(input, format string) (*File, error) {
		text := strings.Replace(minimal, "type: files", "type: "+input, 1) + "    format: " + format + "\n"
		return Parse("agent.yaml", []byte(text), t.TempDir(), formatCatalog())
	}
	for _, name := range []string{"nginx_access", FormatAuto} {
		file, err := read("framed", name)
		require.NoError(t, err)
		require.Equal(t, name, file.Pipelines["main"].Format)
		require.Equal(t, name, file.Pipelines["main"].Input.Config.(*framedConfig).format, "the input is told")
	}
	_, err := read("files", "nginx_access")
	require.NoError(t, err, "an input that frames nothing needs to know nothing")
	for _, c := range []struct{ input, format, want string }{
		{"framed", "ngnix_access", "agent.yaml:8:13: pipelines.main.format: there is no format \"ngnix_access\" (did you mean \"nginx_access\"?); `wasmtail formats` lists them, and auto finds that of each file"},
		{"framed", "atuo", "agent.yaml:8:13: pipelines.main.format: there is no format \"atuo\" (did you mean \"auto\"?); `wasmtail formats` lists them, and auto finds that of each file"},
		{"framed", "plain", "agent.yaml:8:13: pipelines.main.format: there is no format \"plain\"; `wasmtail formats` lists them, and auto finds that of each file"},
		{"files", "auto", "agent.yaml:8:13: pipelines.main.format: cannot be auto with an input of type files, which reads no files: name the format; `wasmtail formats` lists them"},
		{"framed", "[a]", "agent.yaml:8:13: pipelines.main.format: expects text, not a list"},
	} {
		_, err := read(c.input, c.format)
		var faults Faults
		require.ErrorAs(t, err, &faults)
		require.Len(t, faults, 1)
		require.Equal(t, c.want, faults[0].Error())
	}
}

func TestFormatProcessors_NeedTheirPlugins(t *testing.T) {
	_, err := FormatProcessors(formats.Find("nginx_access"), testCatalog())
	require.ErrorContains(t, err, `there is no processor "time"`)
	require.False(t, errors.As(err, new(Faults)), "it is no fault of the configuration")
	blocks, err := FormatProcessors(&formats.Format{Name: "x", Processors: "- {type: regex, pattern: x}\n- {type: noop}\n"}, testCatalog())
	require.NoError(t, err)
	require.Equal(t, []Block{{Type: "regex", Config: &regexConfig{Pattern: "x"}}, {Type: "noop", Config: &nothing{}}}, blocks)
	_, err = FormatProcessors(&formats.Format{Name: "x", Processors: "{"}, testCatalog())
	require.Error(t, err)
	require.Equal(t, ` (did you mean "syslog"?)`, SuggestFormat("sislog"))
}
