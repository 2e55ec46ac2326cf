package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	oracle "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"
	"github.com/stretchr/testify/require"
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newParser() *parser { return &parser{zone: time.UTC, now: testNow.UnixNano()} }

// show writes what was found in a line.
func show(p *parser) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d|%s|%s|%s|%s|%s|%s", p.priority, when(p.time), p.hostname, p.program, p.pid, p.msgid, p.text)
	for _, d := range p.data {
		fmt.Fprintf(&b, "|%s.%s=%s", d.id, d.name, appendUnescaped(nil, d.value))
	}
	return b.String()
}

func when(nanos int64) string {
	if nanos == 0 {
		return ""
	}
	return time.Unix(0, nanos).UTC().Format(time.RFC3339Nano)
}

func TestParse_FindsTheParts(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - ` + "\xef\xbb\xbf" + `'su root' failed`, `34|2003-10-11T22:14:15.003Z|mymachine.example.com|su||ID47|'su root' failed`},
		{`<165>1 2003-10-11T22:14:15.003-07:00 h app 8710 - [a@1 x="1" y="\"q\" \] \\ \n"][b] m`, `165|2003-10-12T05:14:15.003Z|h|app|8710||m|a@1.x=1|a@1.y="q" ] \ \n|b.=`},
		{`<0>1 - - - - - -`, `0||||||`},
		{`<34>Oct 11 22:14:15 mymachine su: 'su root' failed`, `34|2025-10-11T22:14:15Z|mymachine|su|||'su root' failed`},
		{`<13>Feb  5 17:32:18 10.0.0.99 postfix/smtpd[42]: hello`, `13|2026-02-05T17:32:18Z|10.0.0.99|postfix/smtpd|42||hello`},
		{`<13>Dec 31 23:59:59 logger: no host`, `13|2025-12-31T23:59:59Z||logger|||no host`},
		{`<13>Dec 31 23:59:59 cron[7]: no host`, `13|2025-12-31T23:59:59Z||cron|7||no host`},
		{`<13>2026-01-02T03:04:05.678901+01:00 host kernel: x`, `13|2026-01-02T02:04:05.678901Z|host|kernel|||x`},
		{`<189>Oct 11 2024 22:14:15.25: %SYS-5-CONFIG_I: done`, `189|2024-10-11T22:14:15.25Z||%SYS-5-CONFIG_I|||done`},
		{`<13>Feb 29 00:00:00 h p: x`, `13||h|p|||x`},
		{`<13>only text`, `13||||||only text`},
		{`<13>`, `13||||||`},
		{`<13>Oct 11 22:14:15 h text without a tag`, `13|2025-10-11T22:14:15Z|h||||text without a tag`},
		{`<13>Oct 11 22:14:15 h a[b c]: d`, `13|2025-10-11T22:14:15Z|h||||a[b c]: d`},
	} {
		p := newParser()
		require.Nil(t, p.parse([]byte(c.line)), c.line)
		require.Equal(t, c.want, show(p), c.line)
	}
}

func TestParse_SaysWhatIsWrong(t *testing.T) {
	for line, reason := range map[string][]byte{
		"":                                     errNoPriority,
		"hello":                                errNoPriority,
		"<192>x":                               errNoPriority,
		"<013>x":                               errNoPriority,
		"<>x":                                  errNoPriority,
		"<1234>x":                              errNoPriority,
		"<1":                                   errNoPriority,
		"<13>1 x - - - - -":                    errTime,
		"<13>1 2003-02-30T00:00:00Z - - - - -": errTime,
		"<13>1 2003-10-11T24:00:00Z - - - - -": errTime,
		"<13>1 2003-10-11T22:14:15 - - - - -":  errTime,
		"<13>1 - h\xff - - - -":                errHeader,
		"<13>1 - - -":                          errHeader,
		"<13>1 - - - - - ":                     errData,
		"<13>1 - - - - - x":                    errData,
		"<13>1 - - - - - -x":                   errData,
		`<13>1 - - - - - [a b="c]`:             errData,
		`<13>1 - - - - - [a b="c"`:             errData,
		`<13>1 - - - - - []`:                   errData,
		"<13>1 - - - - - " + strings.Repeat("[a]", 1001): errTooMany,
	} {
		require.Equal(t, string(reason), string(newParser().parse([]byte(line))), line)
	}
}

func TestParse_AYearIsTheNearest(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	for _, c := range []struct{ now, stamp, want string }{
		{"2026-12-31T23:30:00Z", "Jan  1 00:30:00", "2026-12-31T23:30:00Z"},
		{"2026-01-01T00:10:00Z", "Dec 31 23:59:59", "2025-12-31T22:59:59Z"},
		{"2026-07-01T00:00:00Z", "Jul  1 12:00:00", "2026-07-01T10:00:00Z"},
		{"2024-03-01T00:00:00Z", "Feb 29 12:00:00", "2024-02-29T11:00:00Z"},
		{"2025-02-28T23:00:00Z", "Feb 29 12:00:00", "2024-02-29T11:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		require.NoError(t, err)
		p := &parser{zone: berlin, now: now.UnixNano()}
		for range 2 { // the second comes from memory
			require.Nil(t, p.parse([]byte("<1>"+c.stamp+" h p: x")))
			require.Equal(t, c.want, when(p.time), c)
		}
	}
}

// agree holds the parser to the oracle's: what that takes, this takes, and finds the
// same in it.
func agree(t *testing.T, line string) {
	t.Helper()
	theirs, err := rfc5424.NewMachine().Parse([]byte(line))
	if err != nil {
		return
	}
	p := newParser()
	require.Empty(t, string(p.parse([]byte(line))), "%q", line)
	m := theirs.(*rfc5424.SyslogMessage)
	var stamp time.Time
	if m.Timestamp != nil {
		stamp = *m.Timestamp
	}
	if stamp.Year() > 1678 && stamp.Year() < 2261 {
		require.Equal(t, stamp.UnixNano(), p.time, "%q", line)
	}
	same(t, line, base{p.priority, string(p.hostname), string(p.program), string(p.pid), string(p.msgid)}, m.Base)
	text := ""
	if m.Message != nil {
		text = strings.TrimPrefix(*m.Message, string(byteOrderMark))
	}
	require.Equal(t, text, string(p.text), "%q", line)
	elements := map[string]map[string]string{}
	for _, d := range p.data {
		if elements[string(d.id)] == nil {
			elements[string(d.id)] = map[string]string{}
		}
		if len(d.name) > 0 {
			elements[string(d.id)][string(d.name)] = string(appendUnescaped(nil, d.value))
		}
	}
	if m.StructuredData != nil {
		require.Equal(t, *m.StructuredData, elements, "%q", line)
	}
}

type base struct {
	priority                  uint8
	host, program, pid, msgid string
}

func same(t *testing.T, line string, ours base, theirs oracle.Base) {
	t.Helper()
	of := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	require.Equal(t, base{*theirs.Priority, of(theirs.Hostname), of(theirs.Appname), of(theirs.ProcID), of(theirs.MsgID)}, ours, "%q", line)
}

var lines5424 = []string{
	`<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8`,
	`<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.`,
	`<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"][examplePriority@32473 class="high"] An application`,
	`<165>1 - - - - - [a@1 x="\"q\" \] \\"]`, `<0>1 - - - - - -`, `<191>999 - a b c d - m`,
	`<0>1 0000-01-01T00:00:00+00:00 0 0 0 0 -`,
	"<165>1 - - - - - - \xef\xbb\xbfbom",
}

func TestParse_AgreesWithAnother(t *testing.T) {
	for _, line := range lines5424 {
		agree(t, line)
	}
	for _, line := range []string{
		`<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8`,
		`<13>Feb  5 17:32:18 10.0.0.99 app[1234]: hello world`,
		`<0>Jan  1 00:00:00 h kernel: x`,
	} {
		theirs, err := rfc3164.NewMachine(rfc3164.WithYear(rfc3164.Year{YYYY: 2025})).Parse([]byte(line))
		require.NoError(t, err)
		m := theirs.(*rfc3164.SyslogMessage)
		p := newParser()
		require.Nil(t, p.parse([]byte(line)))
		same(t, line, base{p.priority, string(p.hostname), string(p.program), string(p.pid), ""}, m.Base)
		require.Equal(t, *m.Message, string(p.text))
		require.Equal(t, m.Timestamp.Format(time.Stamp), string(p.stamp))
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range lines5424 {
		f.Add(line)
	}
	f.Add("<13>Feb  5 17:32:18 10.0.0.99 app[1234]: hello world")
	f.Add("<13>2026-01-02T03:04:05.678901+01:00 host kernel: x")
	f.Fuzz(func(t *testing.T, line string) {
		agree(t, line)
		p := newParser()
		if p.parse([]byte(line)) == nil {
			require.LessOrEqual(t, len(p.text)+len(p.stamp)+len(p.hostname)+len(p.program), len(line))
		}
	})
}

func TestParse_DoesNotAllocate(t *testing.T) {
	p := newParser()
	for _, line := range append(lines5424, "<13>Feb  5 17:32:18 h app[1]: hello", "<13>Feb  5 2026 17:32:18 h app[1]: hello", "junk") {
		raw := []byte(line)
		p.parse(raw)
		require.Zero(t, testing.AllocsPerRun(100, func() { p.parse(raw) }), line)
	}
}

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{"3164": "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed for lonvick on /dev/pts/8", "5424": lines5424[2]} {
		b.Run(name+"/ours", func(b *testing.B) {
			p, raw := newParser(), []byte(line)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				p.parse(raw)
			}
		})
		b.Run(name+"/leodido", func(b *testing.B) {
			m := oracle.Machine(rfc5424.NewMachine())
			if name == "3164" {
				m = rfc3164.NewMachine()
			}
			raw := []byte(line)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Parse(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
