package config

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// everything has a field of each type that settings may have.
type everything struct {
	shared    `yaml:",inline"`
	Int8      int8                `yaml:"int8"`
	Uint      uint                `yaml:"uint" default:"7"`
	Float     float32             `yaml:"float"`
	PtrBool   *bool               `yaml:"ptr_bool"`
	PtrInt    *int                `yaml:"ptr_int"`
	Text      string              `yaml:"text"`
	Words     []string            `yaml:"words" default:"a,b"`
	Sizes     []Size              `yaml:"sizes"`
	Times     map[string]duration `yaml:"times"`
	Addr      netip.Addr          `yaml:"addr"`
	Path      string              `yaml:"path" path:"true" default:"-"`
	Paths     []string            `yaml:"paths" path:"true"`
	Rules     []rule              `yaml:"rules"`
	ByName    map[string]rule     `yaml:"by_name"`
	Any       any                 `yaml:"any"`
	Level     level               `yaml:"level" default:"low" enum:"low,high"`
	Unnamed   int
	Skipped   int `yaml:"-"`
	unwritten int
}

type (
	duration = time.Duration
	level    string
)

type shared struct {
	Endpoint string `yaml:"endpoint"`
}

type rule struct {
	Name string        `yaml:"name" required:"true"`
	Wait time.Duration `yaml:"wait" default:"3s"`
	Next *rule         `yaml:"next"`
}

func (r *rule) Validate(report func(key, problem string)) {
	if r.Name == "no" {
		report("name", "cannot be no")
	}
	if r.Name == "all" {
		report("", "cannot be all")
	}
}

// decodeEverything decodes the keys of one plugin.
func decodeEverything(t *testing.T, dir, keys string) (*everything, error) {
	t.Helper()
	cat := testCatalog()
	cat["output"]["all"] = func() any { return new(everything) }
	text := "version: 1\noutputs:\n  out:\n    type: all\n" + keys +
		"pipelines:\n  main: {input: {type: files, include: [a]}, outputs: [out]}\n"
	f, err := Parse("a.yaml", []byte(text), dir, cat)
	if err != nil {
		return nil, err
	}
	return f.Outputs["out"].Config.(*everything), nil
}

func TestDecode_EveryType(t *testing.T) {
	got, err := decodeEverything(t, "/etc/x", `    endpoint: e
    int8: -128
    uint: 0
    float: -1.5
    ptr_bool: false
    ptr_int: 3
    text: 0x1F
    words: []
    sizes: [1KiB, 5]
    times: {a: 1d, b: 0}
    addr: 10.0.0.1
    paths: [a, /b, -]
    rules: [{name: a, next: {name: b, wait: 1s}}]
    by_name: {x: {name: c, wait: 0}}
    any: [1, -2.5, ~, "3", text, {k: true}]
    level: high
    unnamed: 4
`)
	require.NoError(t, err)
	no, three := false, 3
	require.Equal(t, &everything{
		shared: shared{"e"}, Int8: -128, Float: -1.5, PtrBool: &no, PtrInt: &three, Text: "0x1F", Words: []string{},
		Sizes: []Size{KiB, 5}, Times: map[string]time.Duration{"a": 24 * time.Hour, "b": 0}, Addr: netip.MustParseAddr("10.0.0.1"),
		Path: "-", Paths: []string{"/etc/x/a", "/b", "-"},
		Rules:  []rule{{Name: "a", Wait: 3 * time.Second, Next: &rule{Name: "b", Wait: time.Second}}},
		ByName: map[string]rule{"x": {Name: "c"}},
		Any:    []any{int64(1), -2.5, nil, "3", "text", map[string]any{"k": true}},
		Level:  "high", Unnamed: 4,
	}, got)
	got, err = decodeEverything(t, "", "    text: 'no keys'\n")
	require.NoError(t, err)
	require.Equal(t, &everything{Uint: 7, Text: "no keys", Words: []string{"a", "b"}, Path: "-", Level: "low"}, got)
	_ = got.unwritten
}

func TestDecode_FaultsOfEveryType(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		_, err := decodeEverything(t, "", "    "+keys+"\n")
		require.ErrorContains(t, err, want)
	}
	f("int8: 128", "outputs.out.int8: is out of range for a number of 8 bits")
	f("uint: -1", "outputs.out.uint: expects a whole number, not negative, such as 4")
	f("float: 1e5", "outputs.out.float: expects a number such as 0.5")
	f("ptr_bool: 1", "outputs.out.ptr_bool: expects true or false")
	f("sizes: [1, x]", "a.yaml:5:16: outputs.out.sizes[1]: expects a size")
	f("times: {a: x}", "a.yaml:5:16: outputs.out.times.a: expects a duration")
	f("addr: nowhere", "outputs.out.addr: ")
	f("rules: [{name: a}, {name: no}]", "a.yaml:5:31: outputs.out.rules[1].name: cannot be no")
	f("rules: [{name: a, next: {name: all}}]", "a.yaml:5:29: outputs.out.rules[0].next: cannot be all")
	f("rules: [{}]", "a.yaml:5:13: outputs.out.rules[0].name: is required")
	f("rules: {}", "expects a list such as [a, b], not a set of keys")
	f("rules: x", "expects a list such as [a, b], not text")
	f("by_name: {x: {nam: c}}", `a.yaml:5:19: outputs.out.by_name.x.nam: unknown key (did you mean "name"?)`)
	f("by_name: {x: }", "outputs.out.by_name.x: is empty")
	f("level: hihg", `must be one of low, high, not "hihg" (did you mean "high"?)`)
	f("words: {a: b}", "expects a list such as [a, b], not a set of keys")
	f("any: [\"${env:WASMTAIL_TEST_UNSET}\"]", "outputs.out.any[0]: the environment variable WASMTAIL_TEST_UNSET is not set")
	f("skipped: 1", "unknown key")
	f("unwritten: 1", "unknown key")
}

func TestParse_Listen(t *testing.T) {
	f := func(listen, want string) {
		t.Helper()
		file, err := Parse("a.yaml", []byte(minimal+"admin: {listen: \""+listen+"\"}\n"), "/etc/x", testCatalog())
		require.NoError(t, err)
		require.Equal(t, want, file.Admin.Listen)
	}
	f("", "")
	f(":7071", ":7071")
	f("[::1]:0", "[::1]:0")
	f("unix:./run/agent.sock", "unix:"+filepath.Join("/etc/x", "run/agent.sock"))
	f("unix:/run/agent.sock", "unix:/run/agent.sock")
	for _, bad := range []string{"localhost", "unix:", "a:b", "1:99999", "::1", "1:-1", "1:"} {
		_, err := Parse("a.yaml", []byte(minimal+"admin: {listen: \""+bad+"\"}\n"), "/etc/x", testCatalog())
		require.ErrorContains(t, err, "admin.listen: expects", bad)
	}
}

func TestParse_LimitsOfTheFile(t *testing.T) {
	f := func(more, want string) {
		t.Helper()
		_, err := parse(t, minimal+more)
		require.ErrorContains(t, err, want)
	}
	f("limits: {cpu: -1}\n", "limits.cpu: must not be negative")
	f("limits: {bandwidth: 1}\n", "limits.bandwidth: is less than 64KiB")
	f("limits: {open_files: -1}\n", "limits.open_files: must not be negative")
	f("    workers: 65\n", "pipelines.main.workers: must be between 1 and 64")
	f("    batch: {size: 1, wait: 2m}\n", "pipelines.main.batch.size: must be between 1KiB and 5MiB")
	f("    batch: {size: 1, wait: 2m}\n", "pipelines.main.batch.wait: must be between 10ms and 10s")
}
