//go:build !wasip1

package wt

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// simple puts what its lines ask for.
type simple struct{}

const (
	idText = iota
	idNumber
	idReal
	idTruth
	idTree
)

func (simple) Setup(s *Setup) error {
	s.Name("simple", "1.0.0")
	s.Field("text", String, "a \"text\"\n")
	s.Field("number", Int, "")
	s.Field("real", Float, "")
	s.Field("truth", Bool, "")
	s.Field("tree", JSON, "")
	s.Metric("lines")
	s.Caps(CapDrop | CapTime | CapDynamicKeys)
	s.Want(uint32(s.ConfigInt("want", 7)))
	if why := s.ConfigString("refuse", ""); why != "" {
		return errors.New(why)
	}
	return nil
}

func (simple) Parse(r *Row, line []byte) Status {
	c, rest := byte(0), line
	if len(line) > 0 {
		c, rest = line[0], line[1:]
	}
	switch c {
	case '#':
		n, ok := ParseInt(rest)
		if !ok {
			return r.Error(3, "number")
		}
		r.Int(idNumber, n)
	case 'x':
		return r.NoMatch(4, "text")
	case 'd':
		r.Str(idText, rest)
		return r.Drop()
	case 'a':
		r.Float(idReal, 0.5)
		r.Bool(idTruth, true)
		r.JSON(idTree, Text(`[1]`))
		r.Key(Text("other"))
		r.Str(0, Join(rest, rest))
		r.Time(-5)
		r.Severity(SeverityWarn)
		r.Body(rest)
		r.KeepRaw()
	case 'f':
		for range 50000 {
			r.Str(idText, rest)
		}
	case 'm':
		r.Str(idText, Join(rest, bytes.Repeat(rest, 10)))
	default:
		r.Str(idText, line)
	}
	return OK
}

const plenty = 1 << 20

func TestParser_PutsRows(t *testing.T) {
	Register(simple{})
	rows := Try("", plenty, "one", "#-12", "#x", "x", "dx", "aü", "")
	require.Equal(t, []Tried{
		{First: 0, Events: 1, Fields: map[string]any{"text": []byte("one")}},
		{First: 1, Events: 1, Fields: map[string]any{"number": int64(-12)}},
		{First: 2, Events: 1, Status: Failed, Code: 3, Error: "number", Fields: map[string]any{}},
		{First: 3, Events: 1, Status: NoMatch, Code: 4, Error: "text", Fields: map[string]any{}},
		{First: 4, Events: 1, Dropped: true, Fields: map[string]any{}},
		{First: 5, Events: 1, Fields: map[string]any{
			"real": 0.5, "truth": true, "tree": []byte("[1]"), "other": []byte("üü"),
			"$time": int64(-5), "$severity": int64(SeverityWarn), "content": []byte("ü"),
		}},
		{First: 6, Events: 1, Fields: map[string]any{"text": []byte{}}},
	}, rows)
	require.Equal(t, uint32(7), guest.end[2])
}

func TestParser_GivesBackWhatDoesNotFit(t *testing.T) {
	Register(simple{})
	require.Len(t, Try("", plenty, "one", "f", "two"), 1)
	rows := Try("", plenty, "f", "two")
	require.Equal(t, []Tried{{Events: 1, Status: Failed, Code: CodeTooLarge, Error: tooLarge, Fields: map[string]any{}}}, rows)
	require.Len(t, Try("", 20, "mx", "mx", "mx"), 1)
	require.Equal(t, CodeTooLarge, Try("", 20, "m1234567890")[0].Code)
}

func TestSetup_MakesTheSchema(t *testing.T) {
	Register(simple{})
	Try(`{"want":9,"refuse":"n\u00f6"}`, plenty, "")
	require.Equal(t, uint32(9), guest.info[7])
	require.Equal(t, uint32(1), guest.info[2])
	require.Equal(t, "nö", said)
	var schema struct {
		Name, Version string
		Fields        []struct{ Name, Type, Doc string }
		Metrics       []string
	}
	require.NoError(t, json.Unmarshal(guest.setup.schema, &schema))
	require.Equal(t, "simple", schema.Name)
	require.Len(t, schema.Fields, 5)
	require.Equal(t, "a \"text\"\n", schema.Fields[0].Doc)
	require.Equal(t, "float", schema.Fields[2].Type)
	require.Equal(t, []string{"lines"}, schema.Metrics)
}

func TestProcess_DoesNotAllocate(t *testing.T) {
	Register(simple{})
	Try("", plenty, "one")
	line := []byte(`#12 "a\"b" x`)
	guest.room = math.MaxInt
	require.Zero(t, testing.AllocsPerRun(100, func() {
		guest.b.now, guest.b.newest, guest.used = mark{}, 1, 0
		r := guest.b.Begin(0, 1)
		s := line
		part, _ := Until(&s, ' ')
		Lit(&s, '"')
		q, _ := Quoted(&s)
		r.Str(0, part)
		r.Str(0, Unescape(q))
		guest.b.End(guest.line.Parse(r, line))
	}))
}

func FuzzFind(f *testing.F) {
	f.Add([]byte("abcdefghijklmnop\x80\x81"), byte('k'), byte('\x81'))
	f.Add([]byte("\x01\x00\x01\x00\x01\x00\x01\x00"), byte(0), byte(1))
	f.Fuzz(func(t *testing.T, s []byte, a, b byte) {
		want := bytes.IndexByte(s, a)
		rest := s
		part, ok := Until(&rest, a)
		if want < 0 {
			require.False(t, ok)
			require.Equal(t, len(s), Find(s, a))
		} else {
			require.Equal(t, want, Find(s, a))
			require.True(t, ok)
			require.Equal(t, s[:want], part)
			require.Equal(t, s[want+1:], rest)
		}
		want = len(s)
		for i, c := range s {
			if c == a || c == b {
				want = i
				break
			}
		}
		require.Equal(t, want, Find2(s, a, b))
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"-9223372036854775808", "9223372036854775808", "2024-02-29T23:59:60.5+01:30", "29/Feb/2023:00:00:00 +0000", `{"a":[1,"}"],"b":"\ud83d\ude00\n"}`, "[1,2 ,{}]", "-", "00000000000000000000007"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := ParseInt([]byte(s))
		want, err := strconv.ParseInt(s, 10, 64)
		require.Equal(t, err == nil && !strings.HasPrefix(s, "+"), ok)
		if ok {
			require.Equal(t, want, n)
		}
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil && at.Year() >= 1679 && at.Year() < 2261 {
			ns, ok := TimeRFC3339([]byte(s))
			require.True(t, ok)
			require.Equal(t, at.UnixNano(), ns)
		}
		if at, err := time.Parse("02/Jan/2006:15:04:05 -0700", s); err == nil && len(s) == 26 && at.Year() >= 1679 && at.Year() < 2261 {
			if ns, ok := TimeCLF([]byte(s)); ok {
				require.Equal(t, at.UnixNano(), ns)
			}
		}
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(s), &object) == nil && !strings.Contains(s, `\`) && len(object) == 1 {
			for k, v := range object {
				got, ok := Get([]byte(s), k)
				require.True(t, !ok || string(got) == string(v) || strings.Count(s, `"`+k+`"`) > 1)
			}
		}
		rest := []byte(s)
		for ok = true; ok; {
			_, ok = Element(&rest)
		}
		guest.used, guest.room = 0, plenty
		Unescape([]byte(s))
	})
}

func TestTimes(t *testing.T) {
	for _, s := range []string{"2024-02-29T23:59:59Z", "1999-12-31T00:00:00.000000001-11:59", "2100-03-01T12:00:00+00:00"} {
		want, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		ns, ok := TimeRFC3339([]byte(s))
		require.True(t, ok, s)
		require.Equal(t, want.UnixNano(), ns, s)
	}
	for _, s := range []string{"", "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+1"} {
		_, ok := TimeRFC3339([]byte(s))
		require.False(t, ok, s)
	}
	ns, ok := TimeCLF([]byte("10/Oct/2000:13:55:36 -0700"))
	require.True(t, ok)
	require.Equal(t, int64(971211336), ns/second)
	_, ok = TimeCLF([]byte("10/Okt/2000:13:55:36 -0700"))
	require.False(t, ok)
}

func TestJSON(t *testing.T) {
	v, ok := Get([]byte(` {"a" : [1,{"b":"]"}], "b":"\u00e4\ud83d\ude00\n\q\ud800x" , "c":null}`), "b")
	require.True(t, ok)
	guest.used, guest.room = 0, plenty
	require.Equal(t, "ä😀\n\\q\ufffdx", string(Unescape(v[1:len(v)-1])))
	_, ok = Get([]byte(`{"a":1`), "b")
	require.False(t, ok)
	list, all := []byte(`1, {"a":2} ,"x"]`), []string{}
	for v, ok := Element(&list); ok; v, ok = Element(&list) {
		all = append(all, string(v))
	}
	require.Equal(t, []string{"1", `{"a":2}`, `"x"`}, all)
}
