package fieldlist

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/record"
)

func TestList_Duplicates(t *testing.T) {
	for policy, want := range map[string]string{
		"":      "[a=1 content=5 b=3]",
		"last":  "[a=1 content=5 b=3]",
		"first": "[a=1 content=2 b=3]",
		"keep":  "[a=1 content=2 b=3 content=4 content=5]",
	} {
		d, ok := ParseDuplicates(policy)
		require.True(t, ok)
		l := List{Duplicates: d}
		b := record.Get(&record.Origin{})
		r := b.Add([]byte("line"))
		r.Fields = []record.Field{{Name: []byte("a"), Value: []byte("1")}, {Name: []byte("content"), Value: []byte("line")}}
		l.Start(r, 1)
		for i, name := range []string{"content", "b", "content", "content"} {
			l.Add([]byte(name), fmt.Append(nil, i+2))
		}
		l.Store(b, r)
		require.Equal(t, want, texts(r), policy)
		require.Zero(t, l.Len())
		b.Release()
	}
	_, ok := ParseDuplicates("both")
	require.False(t, ok)
}

func TestList_ManyNamesOfOneClass(t *testing.T) {
	b := record.Get(&record.Origin{})
	defer b.Release()
	r := b.Add(nil)
	var l List
	l.Start(r, 0)
	for range 2 {
		for i := range 1000 {
			l.Add(fmt.Appendf(nil, "field%dx", i), nil)
		}
	}
	require.Equal(t, 1000, l.Len())
}

func TestSource(t *testing.T) {
	for _, c := range []struct {
		keep         bool
		reason, want string
	}{
		{false, "", "[a=1 new=x]"},
		{true, "", "[a=1 src=text new=x]"},
		{false, "no", "[a=1 __raw_log__=line __error__=no]"},
		{true, "no", "[a=1 src=text __raw_log__=line __error__=no]"},
	} {
		l := List{Source: SourceFor("p", "src", c.keep)}
		b := record.Get(&record.Origin{})
		b.Add([]byte("line"))
		r := b.Add([]byte("line"))
		r.Fields = []record.Field{{Name: []byte("a"), Value: []byte("1")}, {Name: []byte("src"), Value: []byte("text")}}
		_, ok := l.Open(b, &b.Records[0])
		require.False(t, ok)
		require.Equal(t, "[content=line __raw_log__=line __error__=p: no such field]", texts(&b.Records[0]))
		value, ok := l.Open(b, r)
		require.True(t, ok)
		require.Equal(t, "text", string(value))
		l.Add([]byte("new"), []byte("x"))
		var reason []byte
		if c.reason != "" {
			reason = []byte(c.reason)
		}
		l.Close(b, r, reason)
		require.Equal(t, c.want, texts(r))
		_, ok = l.Open(b, r)
		require.Equal(t, c.reason == "" && c.keep, ok, "a record that failed is passed over")
		b.Release()
	}
}

func texts(r *record.Record) string {
	got := []string{}
	for _, f := range r.Fields {
		got = append(got, string(f.Name)+"="+string(f.Value))
	}
	return fmt.Sprint(got)
}
