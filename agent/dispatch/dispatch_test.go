package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
	"github.com/wasmtail/wasmtail/agent/transport"
	"github.com/wasmtail/wasmtail/internal/record"
	"github.com/wasmtail/wasmtail/internal/specimen"
)

// lines is a format of one record a line.
type lines struct{}

func (lines) Split(raw []byte) (items []Item, err error) {
	for line := range bytes.Lines(raw) {
		items = append(items, Item{Record: line})
	}
	return items, nil
}

func (lines) Join(dst []byte, items []Item) []byte {
	for _, it := range items {
		dst = append(dst, it.Record...)
	}
	return dst
}

func (lines) Show(dst []byte, it Item) []byte {
	return append(append(append(dst, '"'), bytes.TrimSpace(it.Record)...), '"')
}

func encoder(c Codec) *Encoder {
	return &Encoder{Codec: c, Agent: specimen.Agent, Target: "target", Write: func(dst []byte, b *record.Batch) []byte {
		for i := range b.Records {
			dst = append(append(dst, b.Records[i].Fields[0].Value...), '\n')
		}
		return dst
	}}
}

// receiver takes lines.
type receiver struct {
	posts [][]string
	// answer may have a verdict of its own, and lose it.
	answer func(got []string) (Verdict, error)
}

func (r *receiver) post(_ context.Context, p *Payload) (Verdict, error) {
	raw, err := p.Raw()
	if err != nil || len(raw) != p.RawBytes {
		return Verdict{}, &transport.Failure{Class: transport.Rejected, Err: fmt.Errorf("%d bytes: %w", len(raw), err)}
	}
	got := strings.Fields(string(raw))
	r.posts = append(r.posts, got)
	if r.answer != nil {
		return r.answer(got)
	}
	return Verdict{}, nil
}

func (r *receiver) sender(recordsMax int) *Sender {
	return NewSender(Options{Name: "test", Format: lines{}, Post: r.post, RecordsMax: recordsMax})
}

func payloadOf(t testing.TB, c Codec, n int) []byte {
	t.Helper()
	b := specimen.AccessLog(0, n)
	defer b.Release()
	return specimen.Encode(t, encoder(c), b)
}

func TestEveryCodecAndSplit(t *testing.T) {
	for _, c := range []Codec{None, Gzip, Zstd, Snappy} {
		data := payloadOf(t, c, 100)
		p, err := Parse(data)
		require.NoError(t, err)
		require.Equal(t, "target", p.Target)
		require.Equal(t, 100, p.Records)
		for _, recordsMax := range []int{0, 30} {
			r := &receiver{}
			require.NoError(t, r.sender(recordsMax).Send(t.Context(), data), c)
			var all []string
			for _, post := range r.posts {
				all = append(all, post...)
			}
			require.Len(t, all, 100)
			require.Equal(t, "99", all[99])
		}
		require.NotEqual(t, "codec", c.String()[:4])
	}
	require.Empty(t, payloadOf(t, Gzip, 0))
}

// TestWhatIsDeliveredIsNotSentAgain: the third of four parts fails.
func TestWhatIsDeliveredIsNotSentAgain(t *testing.T) {
	r := &receiver{}
	s := r.sender(25)
	data := payloadOf(t, Gzip, 100)
	r.answer = func(got []string) (Verdict, error) {
		if got[0] == "50" {
			return Verdict{}, &transport.Failure{Class: transport.Retry, Status: 503}
		}
		return Verdict{}, nil
	}
	var retry *pipeline.RetryError
	require.ErrorAs(t, s.Send(t.Context(), data), &retry)
	require.Zero(t, retry.Setback)
	r.answer = nil
	require.NoError(t, s.Send(t.Context(), data))
	seen := map[string]int{}
	for _, post := range r.posts {
		for _, line := range post {
			seen[line]++
		}
	}
	require.Len(t, seen, 100)
	for line, n := range seen {
		require.LessOrEqual(t, n, 2)
		if line < "50" || line > "74" {
			require.Equal(t, 1, n, line)
		}
	}
	require.Empty(t, s.started)
}

func TestRefusedRecordsAreSingledOut(t *testing.T) {
	r := &receiver{answer: func(got []string) (Verdict, error) {
		for _, line := range got {
			if line == "13" || line == "77" {
				return Verdict{}, &transport.Failure{Class: transport.BadData, Status: 400, Message: "bad " + line}
			}
		}
		return Verdict{}, nil
	}}
	err := r.sender(0).Send(t.Context(), payloadOf(t, Snappy, 100))
	var refused *pipeline.RejectedError
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, "2 of the 100 records")
	var got []string
	for line := range strings.Lines(string(refused.Records)) {
		var x struct{ Batch, Target, Reason, Record string }
		require.NoError(t, json.Unmarshal([]byte(line), &x))
		require.Contains(t, x.Reason, "bad "+x.Record)
		require.Equal(t, "target", x.Target)
		got = append(got, x.Record)
	}
	require.Equal(t, []string{"13", "77"}, got)
}

func TestNothingButBadRecordsEnds(t *testing.T) {
	r := &receiver{answer: func([]string) (Verdict, error) { return Verdict{}, &transport.Failure{Class: transport.BadData} }}
	require.ErrorIs(t, r.sender(0).Send(t.Context(), payloadOf(t, None, 3000)), pipeline.ErrRejected)
	require.LessOrEqual(t, len(r.posts), partsMax)
}

func TestSetbacks(t *testing.T) {
	for _, x := range []struct {
		f    transport.Failure
		want queue.Setback
	}{
		{transport.Failure{Class: transport.Retry}, queue.Setback{}},
		{transport.Failure{Class: transport.Retry, RetryAfter: time.Minute}, queue.Setback{After: time.Minute}},
		{transport.Failure{Class: transport.Quota}, queue.Setback{Scope: queue.Destination, Slower: true, After: pauseQuota}},
		{transport.Failure{Class: transport.Misconfigured}, queue.Setback{Scope: queue.Destination, After: pausePerson}},
		{transport.Failure{Class: transport.Auth, Status: http.StatusUnauthorized}, queue.Setback{Scope: queue.Destination, After: 5 * time.Second}},
		{transport.Failure{Class: transport.Auth, Status: http.StatusForbidden}, queue.Setback{Scope: queue.Destination, After: pausePerson}},
	} {
		r := &receiver{answer: func([]string) (Verdict, error) { return Verdict{}, &x.f }}
		var retry *pipeline.RetryError
		require.ErrorAs(t, r.sender(0).Send(t.Context(), payloadOf(t, None, 3)), &retry)
		require.Equal(t, x.want, retry.Setback)
	}
}

func TestProgressIsBounded(t *testing.T) {
	r := &receiver{answer: func([]string) (Verdict, error) {
		return Verdict{Again: []int{0}, Why: &transport.Failure{Class: transport.Quota}}, nil
	}}
	s := r.sender(0)
	for i := range startedMax + 50 {
		b := specimen.AccessLog(i, 2)
		require.Error(t, s.Send(t.Context(), specimen.Encode(t, encoder(None), b)))
		b.Release()
	}
	require.Len(t, s.started, startedMax)
}

func TestSecretsInFiles(t *testing.T) {
	path := t.TempDir() + "/secret"
	k := NewKeys(Auth{Scheme: "Bearer", TokenFile: path})
	now := time.Now()
	_, err := k.Authorization(now)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte(" one \nrest"), 0o600))
	now = now.Add(keyLookPause)
	got, err := k.Authorization(now)
	require.NoError(t, err)
	require.Equal(t, "Bearer one", got)
	require.NoError(t, os.WriteFile(path, []byte("two\n"), 0o600))
	for _, want := range []string{"Bearer one", "Bearer two"} {
		got, err = k.Authorization(now)
		require.NoError(t, err)
		require.Equal(t, want, got)
		now = now.Add(keyLookPause)
	}
	require.NoError(t, os.Remove(path))
	got, err = k.Authorization(now)
	require.NoError(t, err)
	require.Equal(t, "Bearer two", got, "it had one")
	got, err = NewKeys(Auth{}).Authorization(now)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestAddresses(t *testing.T) {
	a, err := ParseAddress("host:9200/a%20b/?x=1")
	require.NoError(t, err)
	require.Equal(t, Address{Endpoint: "https://host:9200", Path: "/a%20b", Query: "x=1"}, a)
	for _, s := range []string{"", "http://", "ftp://x", "http://u:pass@x", "http://x/#a", "http://u:pass@%zz"} {
		_, err := ParseAddress(s)
		require.Error(t, err, s)
		require.NotContains(t, err.Error(), "pass@", s)
	}
}

func FuzzPayload(f *testing.F) {
	for _, c := range []Codec{None, Gzip, Zstd, Snappy} {
		f.Add(payloadOf(f, c, 3))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &receiver{}
		err := r.sender(2).Send(t.Context(), data)
		if err != nil && !errors.Is(err, pipeline.ErrRejected) {
			t.Fatal("a payload that cannot be read must not be tried for ever: ", err)
		}
	})
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	for _, c := range []Codec{None, Gzip, Zstd, Snappy} {
		specimen.RequireNoAllocation(t, encoder(c))
	}
}
