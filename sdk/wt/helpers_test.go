//go:build !wasip1

package wt

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzParseFloat(f *testing.F) {
	for _, s := range []string{
		"", "0", "-0", "+1", ".5", "5.", ".", "-", "1e", "1e+", "1e5", "-1.5E-3", "1..2", "0x1p3", "1_0", "inf", "nan", "Infinity",
		"9007199254740993", "123456789012345678", "1234567890123456789", "0.1", "1e22", "1e23", "1e-22", "3.3e-23", "5e-324", "2e-324",
		"2.4703282292062328e-324", "1.7976931348623157e308", "1.797693134862315708e308", "1.797693134862315709e308", "1.7976931348623159e308",
		"1e309", "1e99999", "1e-99999", "-179769313486231570" + strings.Repeat("0", 291), "0." + strings.Repeat("0", 400) + "1e401",
		"1.00000000000000011102230246251565404236316680908203125", "1.00000000000000011102230246251565404236316680908203126",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, ok := ParseFloat([]byte(s))
		want, err := strconv.ParseFloat(s, 64)
		if strings.Trim(s, "0123456789+-.eE") != "" {
			require.False(t, ok, s)
			return
		}
		if !ok && err == nil { // it only rounds down to the largest
			require.Equal(t, math.MaxFloat64, math.Abs(want), s)
			return
		}
		require.Equal(t, err == nil, ok, s)
		if ok {
			require.Equal(t, math.Float64bits(want), math.Float64bits(x), s)
		}
	})
}

func FuzzTimeEpoch(f *testing.F) {
	for _, s := range []string{"", "0", "1700000000", "1700000000.123456789999", "1.", ".1", "-1", "9223372036", "9223372036854775807", "00000000000000000000000001", "1x"} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(1))
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, s string, power uint8) {
		unit := [...]int64{1, 1e3, 1e6, 1e9}[power%4]
		ns, ok := TimeEpoch([]byte(s), unit)
		whole, after, point := strings.Cut(s, ".")
		shape := whole != "" && (!point || after != "") && strings.Trim(whole+after, "0123456789") == ""
		if !shape || len(s) > 1000 {
			require.True(t, !ok || len(s) > 1000, s)
			return
		}
		want, _ := new(big.Rat).SetString(s)
		want.Mul(want, big.NewRat(second/unit, 1))
		floor := new(big.Int).Quo(want.Num(), want.Denom())
		if !ok {
			require.Positive(t, floor.Cmp(big.NewInt(math.MaxInt64-2*second)), s)
			return
		}
		require.Equal(t, floor.String(), strconv.FormatInt(ns, 10), s)
	})
}

func FuzzTimeSyslog(f *testing.F) {
	for _, s := range []string{"Jan  2 15:04:05", "Feb 29 00:00:00", "Dec 31 23:59:59", "dec 31 23:59:59", "Feb 30 00:00:00", "Jan 02 15:04:05", "Jan 2 15:04:05", "Jun 30 23:59:60", ""} {
		f.Add(s, int64(1700000000))
		f.Add(s, int64(1704067199))
		f.Add(s, int64(1709251200))
	}
	f.Fuzz(func(t *testing.T, s string, now int64) {
		if now < 0 || now > 7e9 {
			return
		}
		ns, ok := TimeSyslog([]byte(s), now*second)
		at, err := time.Parse("Jan _2 15:04:05", s)
		written := strings.EqualFold(s, at.Format("Jan _2 15:04:05")) || strings.EqualFold(s, at.Format("Jan 02 15:04:05"))
		if err != nil || !written { // time takes other blanks, and fractions, too
			require.True(t, !ok || strings.HasSuffix(s, ":60"), s)
			return
		}
		latest := time.Unix(now, 0).UTC().Add(24 * time.Hour)
		for year := latest.Year(); year > latest.Year()-9; year-- {
			that := time.Date(year, at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
			if that.Day() == at.Day() && !that.After(latest) {
				require.True(t, ok, s)
				require.Equal(t, that.UnixNano(), ns, s)
				return
			}
		}
		require.False(t, ok, s)
	})
}

func TestHelpers_DoNotAllocate(t *testing.T) {
	TryTables(map[string]string{"short": "value", "long": strings.Repeat("v", 1000)})
	defer TryTables()
	guest.setup = Setup{Config: []byte(`{"ratio":0.25}`)}
	hard, easy := []byte("1.2345678901234567890e-300"), []byte("-12.5")
	huge := []byte("1e400")
	epoch, syslog := []byte("1700000000.5"), []byte("Nov 14 22:13:20")
	short, long, none := []byte("short"), []byte("long"), []byte("none")
	Log(LogWarn, long)
	SpanAttr(short, long)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		guest.used, guest.room, guest.full = 0, plenty, false
		ParseFloat(hard)
		ParseFloat(easy)
		ParseFloat(huge)
		TimeEpoch(epoch, 1)
		TimeSyslog(syslog, 1700000000*second)
		Lookup(0, short)
		Lookup(0, long)
		Lookup(0, none)
		Lookup(1, none)
		Copy(short)
		CounterAdd(3, 2)
		Log(LogWarn, long)
		SpanAttr(short, long)
		guest.setup.ConfigFloat("ratio", 1)
	}))
	require.Equal(t, int64(2*101), offline.counted[3])
	require.Equal(t, "long", string(offline.said))
	require.Equal(t, "short=long", string(offline.span))
	require.InDelta(t, 0.25, guest.setup.ConfigFloat("ratio", 1), 0)
	require.InDelta(t, 1.0, guest.setup.ConfigFloat("other", 1), 0)
}

func TestLookup_FindsShortAndLongValues(t *testing.T) {
	long := strings.Repeat("v", 1000)
	TryTables(map[string]string{"short": "value", "long": long, "empty": ""})
	defer TryTables()
	guest.used, guest.room, guest.full = 0, 2000, false
	for key, want := range map[string]string{"short": "value", "long": long, "empty": ""} {
		got, ok := Lookup(0, []byte(key))
		require.True(t, ok, key)
		require.Equal(t, want, string(got))
	}
	_, ok := Lookup(0, []byte("none"))
	require.False(t, ok)
	require.Equal(t, 1005, guest.used)
	require.False(t, guest.full)
	_, ok = Lookup(0, []byte("long"))
	require.False(t, ok)
	require.True(t, guest.full, "the row is given back")
}

// pairs joins lines that begin with + to the line before, and splits lines at |.
type pairs struct{}

func (pairs) Setup(s *Setup) error {
	s.Field("text", String, "")
	s.Caps(CapJoin | CapSplit)
	return nil
}

func (pairs) Process(b *Batch) {
	for i := 0; i < b.Count(); {
		n := 1
		for i+n < b.Count() && strings.HasPrefix(string(b.Line(i+n)), "+") {
			n++
		}
		if i+n == b.Count() && !b.Final() {
			return
		}
		for rest, more := b.Line(i), true; more; {
			r := b.Begin(i, n)
			part, ok := Until(&rest, '|')
			if more = ok; !ok {
				part = rest
			}
			r.Str(0, part)
			if !b.End(OK) {
				return
			}
		}
		i += n
	}
}

func TestBatchParser_JoinsAndSplits(t *testing.T) {
	RegisterBatch(pairs{})
	defer func() { guest.batch = nil }()
	text := func(s string) map[string]any { return map[string]any{"text": []byte(s)} }
	require.Equal(t, []Tried{
		{First: 0, Events: 3, Fields: text("a")},
		{First: 3, Events: 1, Fields: text("b")},
		{First: 3, Events: 1, Fields: text("c")},
		{First: 4, Events: 2, Fields: text("")},
		{First: 4, Events: 2, Fields: text("d")},
	}, Try("", plenty, "a", "+1", "+2", "b|c", "|d", "+"))
}
