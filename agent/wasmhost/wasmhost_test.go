package wasmhost

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
)

func TestParser_DoesWhatTheModuleSays(t *testing.T) {
	table := filepath.Join(t.TempDir(), "clients.csv")
	require.NoError(t, os.WriteFile(table, []byte("# key,value\n10.0.0.1,alpha\n10.0.0.2,\"be,ta\"\n"), 0o600))
	clients, err := OpenTable("clients", table)
	require.NoError(t, err)
	now := time.Now()
	l := newLane(t, Spec{Path: guest(t), Routes: map[string]uint8{"errors": 2}, Tables: []*Table{clients}}, func(o *Options) {
		o.Now = func() time.Time { return now }
	})
	require.Equal(t, Serving, l.m.status().State, l.m.status().Reason)
	today := now.UTC().Truncate(time.Second)
	for line, want := range map[string]string{
		"plain line":                "text=plain line",
		"":                          "text=",
		"#42":                       "number=42",
		"#-7":                       "number=-7",
		"#123456789012345678":       "number=123456789012345678",
		"#x":                        "",
		"!none":                     raw("!none", "wasm guest: no match"),
		"!error":                    raw("!error", "wasm guest: error 7: as asked"),
		"!route errors":             "text=errors route=2",
		"!severity 9":               "text=9 severity=info",
		"!severity 24":              "text=24 severity=fatal",
		"!body hello":               "content=hello text=hello",
		"!raw":                      "text= __raw_log__=!raw",
		`!json {"a":[1,2]}`:         `text={"a":[1,2]}`,
		"!made up":                  "text=up!",
		"!trace":                    "trace_id=30313233343536373839616263646566 text=",
		"!float":                    "number=0.5 text=",
		"!nan":                      "text=",
		"!bool":                     "number=true text=",
		"!now":                      fmt.Sprintf("number=%d text=", now.UnixNano()),
		"!key a=1 b=2":              "a=1 b=2",
		"!lookup 10.0.0.1":          "text=alpha",
		"!lookup 10.0.0.2":          "text=be,ta",
		"!lookup none":              raw("!lookup none", "wasm guest: error 9: absent"),
		"!time " + stamp(today):     fmt.Sprintf("text=%s time=%d", stamp(today), today.UnixNano()),
		"!time 1990-01-01T00:00:00": "text=1990-01-01T00:00:00",
	} {
		require.Equal(t, []string{want}, l.parse(line), line)
	}
	require.Empty(t, l.parse("!drop"))
	require.Equal(t, []string{"text=a", "text=b", "text=c"}, l.parse("!split a;b;c"))
	require.Equal(t, []string{"text=a", "text=c"}, l.parse("!split a;drop;c"))
	require.Empty(t, l.parse("!split drop;drop"))
	s := l.m.status()
	require.EqualValues(t, s.Lines, s.Metrics["seen"]+3, "the split lines are not counted by the module")
	require.Empty(t, s.Lost)
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }

func TestParser_TellsWhereLinesComeFrom(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t)})
	require.Equal(t, []string{`text={"path":"/var/log/app.log","pipeline":"p"}`}, l.parse("!stream"))
	require.Equal(t, []string{"text="}, l.parse("!stream"), "once")
	l.origin = &record.Origin{Path: "/other", Source: 2, Ledger: &record.Ledger{}}
	require.Equal(t, []string{`text={"path":"/other","pipeline":"p"}`}, l.parse("!stream"))
}

func TestParser_MarksBytesThatAreNotUTF8(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t)})
	require.Equal(t, []string{"text=grüß"}, l.parse("grüß"))
	require.Equal(t, []string{"text=gr\xc3 marks=invalid_utf8"}, l.parse("!cut gr\u00fc"), "a character was cut")
	require.Equal(t, []string{"text=\xff! marks=invalid_utf8"}, l.parse("!made \xff"), "a copy is looked at")
}

func TestParser_PassesRecordsByThatAreNotForIt(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Field: "message"})
	b := l.batch("one", "two", "three", "four")
	defer b.Release()
	for i := range b.Records {
		r := &b.Records[i]
		switch i {
		case 1:
			b.Fail(r, 0, []byte("earlier"))
		case 0, 3:
			fields := append(b.AllocFields(3), record.Field{Name: []byte("host"), Value: []byte("h")},
				record.Field{Name: []byte("message"), Value: r.Raw}, record.Field{Name: []byte("text"), Value: []byte("old")})
			r.Fields = fields
		}
	}
	require.NoError(t, l.p.Process(context.Background(), b))
	require.Equal(t, []string{"host=h text=one", raw("two", "earlier"), "content=three", "host=h text=four"}, texts(b))
}

func TestParser_KeepsTheSourceWhenAsked(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), KeepSource: true})
	require.Equal(t, []string{"content=a text=a"}, l.parse("a"))
}

func TestParser_GathersValuesThatLieApart(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t)})
	b := record.Get(l.origin)
	defer b.Release()
	var want []string
	for i := range 300 {
		b.Copy(make([]byte, 1000)) // other things between the lines
		line := fmt.Sprintf("line %d", i)
		b.Add([]byte(line)).Size = 1
		want = append(want, "text="+line)
	}
	require.NoError(t, l.p.Process(context.Background(), b))
	require.Equal(t, want, texts(b))
	require.EqualValues(t, 1, l.m.spec.counters.calls.Load())
}

func TestParser_TakesLargeBatchesInParts(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Limits: Limits{Batch: 4 << 10, Line: 8 << 10}})
	var lines, want []string
	for i := range 3000 {
		line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%90))
		if i%500 == 7 {
			line = strings.Repeat("y", 7000)
		}
		lines, want = append(lines, line), append(want, "text="+line)
	}
	long := strings.Repeat("z", 9000)
	lines, want = append(lines, long, "after"), append(want, raw(long, "wasm guest: contract: the line is longer than the module is given (limits.line)"), "text=after")
	require.Equal(t, want, l.parse(lines...))
	require.Greater(t, l.m.spec.counters.calls.Load(), int64(20))
}

func TestParser_DoesNotAllocateForALine(t *testing.T) {
	l := newLane(t, Spec{Path: module(t, "../../wasm-examples/nginx/c")})
	lines := accessLog(1000)
	b := record.Get(l.origin)
	defer b.Release()
	run := func() {
		for _, line := range lines {
			b.Add(line).Size = 1
		}
		if err := l.p.Process(context.Background(), b); err != nil || len(b.Records[0].Fields) != 10 {
			t.Fatal(err, b.Records[0].Fields)
		}
		b.Reset()
	}
	run()
	const perBatch = 16 // the clock, spans, and parts of the arena beyond what a batch keeps
	if n := testing.AllocsPerRun(50, run); n > perBatch {
		t.Fatalf("a batch of %d lines allocates %v times", len(lines), n)
	}
}

func TestJoiner_LeavesLinesWithTheHost(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Config: []byte(`{"join":true}`)})
	run := func(final bool, lines ...string) ([]string, *record.Batch) {
		b := l.batch(lines...)
		b.Final = final
		require.NoError(t, l.p.Process(context.Background(), b))
		out := texts(b)
		b.Release()
		return out, b
	}
	b := l.batch("a", " b", "c")
	require.NoError(t, l.p.Process(context.Background(), b))
	require.Equal(t, []string{"text=a\n b"}, texts(b))
	require.EqualValues(t, 5, b.End, "c is left")
	require.Equal(t, -1, b.Reshaped)
	require.EqualValues(t, 5, b.Records[0].Size)
	b.Release()
	out, _ := run(false, " d")
	require.Empty(t, out)
	b = l.batch(" e", "f")
	require.NoError(t, l.p.Process(context.Background(), b))
	require.EqualValues(t, 5, b.Start)
	require.Equal(t, []string{"text=c\n d\n e"}, texts(b))
	require.EqualValues(t, 5, b.Records[0].Offset)
	b.Release()
	out, _ = run(true)
	require.Equal(t, []string{"text=f"}, out)
	require.Empty(t, l.p.held)
	// Sources do not mix.
	out, _ = run(false, "one")
	require.Empty(t, out)
	first := l.origin
	l.origin = &record.Origin{Path: "/other", Source: 2, Ledger: &record.Ledger{}}
	out, _ = run(true, " two")
	require.Equal(t, []string{"text= two"}, out)
	l.origin = first
	out, _ = run(true)
	require.Equal(t, []string{"text=one"}, out)
}

func TestJoiner_JoinsOverTheCallsOfABatch(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Config: []byte(`{"join":true}`), Limits: Limits{Batch: 4 << 10}})
	var lines []string
	var want []string
	for i := range 300 { // records of three lines, which no call has a whole number of
		first, second, third := fmt.Sprintf("record %d", i), " second "+strings.Repeat("x", i%90), " third "+strings.Repeat("y", 90-i%90)
		lines = append(lines, first, second, third)
		want = append(want, "text="+first+"\n"+second+"\n"+third)
	}
	b := l.batch(lines...)
	defer b.Release()
	b.Final = true
	require.NoError(t, l.p.Process(context.Background(), b))
	require.Equal(t, want, texts(b))
	require.Greater(t, l.m.spec.counters.calls.Load(), int64(3))
}

func TestJoiner_MayNotHoldWithoutBound(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Config: []byte(`{"join":true}`), Limits: Limits{HeldLines: 3, HeldBytes: 100}})
	require.Equal(t, []string{"text=a\n 1\n 2\n 3"}, l.parse("a", " 1", " 2", " 3"), "four lines are too many to hold")
	require.Equal(t, []string{"text=" + strings.Repeat("x", 101)}, l.parse(strings.Repeat("x", 101)))
	require.Empty(t, l.parse("b", " 1"))
	require.Equal(t, []string{"text=b\n 1"}, l.parse("c"))
}

func TestDeadLetters(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t), Routes: map[string]uint8{}, DeadLetter: 3})
	require.Equal(t, []string{"text=a", raw("!none", "wasm guest: no match") + " route=3"}, l.parse("a", "!none"))
	l = newLane(t, Spec{Path: guest(t), DeadLetter: 3, KeepFailed: true})
	b := l.batch("!none", "a")
	defer b.Release()
	require.NoError(t, l.p.Process(context.Background(), b))
	require.Equal(t, []string{raw("!none", "wasm guest: no match"), raw("!none", "wasm guest: no match") + " route=3", "text=a"}, texts(b))
	require.Equal(t, 1, b.Reshaped)
	require.EqualValues(t, 0, b.Records[1].Size)
}

func TestDynamicKeys_AreBounded(t *testing.T) {
	l := newLane(t, Spec{Path: guest(t)})
	var line strings.Builder
	line.WriteString("!key")
	for i := range 1002 {
		fmt.Fprintf(&line, " k%d=%d", i, i)
	}
	out := l.parse(line.String())[0]
	require.Contains(t, out, "k999=999 ")
	require.Contains(t, out, `_overflow={"k1000":"1000","k1001":"1001"}`)
	require.Equal(t, []string{`k5=x _overflow={"_a":"1"}`}, l.parse("!key k5=x _a=1"), "known ones go on; a reserved one does not")
}

func TestSamples_MustComeOut(t *testing.T) {
	good := Sample{Line: "#5", Fields: map[string]string{"number": "5"}}
	require.Equal(t, Serving, newLane(t, Spec{Path: guest(t), Samples: []Sample{good, {Line: "!drop"}}}).m.status().State)
	for want, s := range map[string]Sample{
		`field number is "5", want "6"`:       {Line: "#5", Fields: map[string]string{"number": "6"}},
		`field colour is missing, want "red"`: {Line: "#5", Fields: map[string]string{"colour": "red"}},
		"the line was not parsed":             {Line: "!none", Fields: map[string]string{"number": "5"}},
		"the line was dropped":                {Line: "!drop", Fields: map[string]string{"number": "5"}},
		"sample 2 of the configuration makes": {Line: "!trap"},
	} {
		status := newLane(t, Spec{Path: guest(t), Samples: []Sample{good, s}}).m.status()
		require.Equal(t, Refused, status.State)
		require.Contains(t, status.Reason, want)
	}
}

func TestModule_IsRefusedWithTheReason(t *testing.T) {
	path := guest(t)
	sum, err := HashFile(path)
	require.NoError(t, err)
	text := filepath.Join(t.TempDir(), "text.wasm")
	require.NoError(t, os.WriteFile(text, []byte("this is no module at all"), 0o600))
	for want, s := range map[string]Spec{
		"cannot open the module":                      {Path: "/none.wasm"},
		"its sha256 is " + sum:                        {Path: path, SHA256: strings.Repeat("0", 64)},
		"it is larger than 1000 bytes":                {Path: path, Limits: Limits{Module: 1000}},
		"it refuses its configuration: the key init ": {Path: path, Config: []byte(`{"init":"refuse"}`)},
		"its wt_init failed: unreachable":             {Path: path, Config: []byte(`{"init":"trap"}`)},
		"its wt_init failed: it took longer":          {Path: path, Config: []byte(`{"init":"loop"}`), Limits: Limits{InitTime: 20 * time.Millisecond}},
		"declares capabilities 0x100000":              {Path: path, Config: []byte(`{"init":"caps"}`)},
		"raise limits.memory":                         {Path: path, Limits: Limits{Memory: 1200 << 10}},
		"cannot use module " + text:                   {Path: text},
	} {
		l := newLane(t, s)
		status := l.m.status()
		require.Equal(t, Refused, status.State, want)
		require.Contains(t, status.Reason, want)
		out := l.parse("a line")
		require.Len(t, out, 1)
		require.Contains(t, out[0], "__raw_log__=a line __error__=wasm ")
		require.Contains(t, out[0], "bypassed")
	}
	require.Equal(t, Serving, newLane(t, Spec{Path: path, SHA256: strings.ToUpper(sum)}).m.status().State)
}

func TestSignatures(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	other, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key, err := ParsePublicKey(FormatPublicKey(public))
	require.NoError(t, err)
	bin, err := os.ReadFile(guest(t))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "signed.wasm")
	require.NoError(t, os.WriteFile(path, bin, 0o600))
	state := func(keys ...ed25519.PublicKey) Status {
		return newLane(t, Spec{Path: path}, func(o *Options) { o.SignedBy = keys }).m.status()
	}
	require.Contains(t, state(key).Reason, "only signed modules are allowed")
	sum := sha256.Sum256(bin)
	require.NoError(t, os.WriteFile(path+SignatureSuffix, Sign(private, sum[:]), 0o600))
	require.Equal(t, Serving, state(other, key).State)
	require.Contains(t, state(other).Reason, "none of the trusted keys signed this content")
	require.NoError(t, os.WriteFile(path+SignatureSuffix, []byte("nonsense"), 0o600))
	require.Contains(t, state(key).Reason, "is no ed25519 signature")
	_, err = ParsePublicKey("ed25519:short")
	require.ErrorContains(t, err, "is no public key")
}

func TestCompile_InAProcessOfItsOwn(t *testing.T) {
	t.Setenv(compileEnv, "1")
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	apart := func(o *Options) { o.Compiler, o.Dir = []string{self}, dir }
	l := newLane(t, Spec{Path: guest(t)}, apart)
	require.Equal(t, Serving, l.m.status().State, l.m.status().Reason)
	require.Equal(t, []string{"text=a"}, l.parse("a"))

	// What lies there is used again, and not what somebody has changed.
	entry, err := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*"))
	require.NoError(t, err)
	require.Len(t, entry, 1)
	before, err := os.Stat(entry[0])
	require.NoError(t, err)
	require.Equal(t, Serving, newLane(t, Spec{Path: guest(t)}, apart).m.status().State)
	after, err := os.Stat(entry[0])
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())
	code, err := os.ReadFile(entry[0])
	require.NoError(t, err)
	code[len(code)/2] ^= 0xff
	require.NoError(t, os.WriteFile(entry[0], code, 0o600))
	l = newLane(t, Spec{Path: guest(t)}, apart)
	require.Equal(t, []string{"text=a"}, l.parse("a"))
	mended, err := os.ReadFile(entry[0])
	require.NoError(t, err)
	require.NotEqual(t, hex.EncodeToString(code), hex.EncodeToString(mended))
}

func TestReload_TakesANewVersionOnlyWhenItServes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.wasm")
	install := func(from string) {
		bin, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path+".new", bin, 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	install(guest(t))
	h, said := open(t)
	l := laneOf(t, h, Spec{Path: path})
	require.Equal(t, []string{"text=a"}, l.parse("a"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); h.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	eventually := func(what string, ok func(Status) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return ok(l.m.status()) }, 20*time.Second, 5*time.Millisecond, what)
	}

	require.NoError(t, os.WriteFile(path+".new", []byte("no module"), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	eventually("the bad version is refused", func(s Status) bool { return s.Reason != "" })
	require.Equal(t, Serving, l.m.status().State)
	require.Equal(t, []string{"text=a"}, l.parse("a"), "the old version goes on")
	require.Contains(t, said.String(), "the old one goes on serving")

	install(module(t, "../../wasm-examples/nginx/c"))
	eventually("the good version serves", func(s Status) bool { return s.Name == "nginx" })
	require.Equal(t, []string{raw("a", "wasm nginx: no match")}, l.parse("a"))
	require.Equal(t, 2, l.m.status().Loads)
	require.Empty(t, l.m.status().Reason)
	require.Len(t, l.m.refs, 1, "the old version is freed")
}

func TestTables_AreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	require.NoError(t, os.WriteFile(path, []byte("a,1\n"), 0o600))
	table, err := OpenTable("t", path)
	require.NoError(t, err)
	h, _ := open(t)
	l := laneOf(t, h, Spec{Path: guest(t), Tables: []*Table{table}})
	require.Equal(t, []string{"text=1"}, l.parse("!lookup a"))
	require.NoError(t, os.WriteFile(path, []byte("a,22\n"), 0o600))
	h.look(context.Background())
	require.Equal(t, []string{"text=22"}, l.parse("!lookup a"))
	require.NoError(t, os.WriteFile(path, []byte("a,1,2\n"), 0o600))
	h.look(context.Background())
	require.Equal(t, []string{"text=22"}, l.parse("!lookup a"), "a bad file leaves the old content")
	_, err = OpenTable("t", path)
	require.ErrorContains(t, err, "no CSV of two columns")
}
