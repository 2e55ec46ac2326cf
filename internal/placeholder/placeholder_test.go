package placeholder

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFill(t *testing.T) {
	v := Values{Logstore: "nginx", Pipeline: "pipe", Host: "h"}
	at := time.Date(2026, 1, 2, 1, 0, 0, 0, time.FixedZone("", 2*3600)) // the day before, in UTC
	for text, want := range map[string]string{
		"": "", "plain": "plain", "{logstore}": "nginx", "a-{pipeline}-{host}.b": "a-pipe-h.b",
		"logs-{logstore}-{%Y.%m.%d}": "logs-nginx-2026.01.01", "{%Y}{%H}": "202623", "{%G-%V}": "2026-01",
	} {
		p, err := Parse(text, true)
		require.NoError(t, err, text)
		require.Equal(t, want, p.Fill(v, at))
		require.Equal(t, strings.Contains(text, "%"), p.Dated())
	}
	for _, text := range []string{"{", "}", "{}", "{logstore", "logstore}", "{{logstore}}", "{what}", "{%S}", "{%", "{%Y%}", "{%Y.%}"} {
		_, err := Parse(text, true)
		require.Error(t, err, text)
	}
	_, err := Parse("{%Y}", false)
	require.ErrorContains(t, err, "date")
}

func FuzzParse(f *testing.F) {
	f.Add("logs-{logstore}-{%Y.%m.%d}")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := Parse(text, true); err == nil {
			p.Fill(Values{Logstore: "a"}, time.Unix(0, 0))
		}
	})
}
