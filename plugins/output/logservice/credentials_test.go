package logservice

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/pipeline"
	"github.com/wasmtail/wasmtail/agent/queue"
)

// TestAKeyIsReadAgainWhenItsFileChanges: a temporary key runs out, and another
// takes its place.
func TestAKeyIsReadAgainWhenItsFileChanges(t *testing.T) {
	r := newReceiver(t)
	path := filepath.Join(t.TempDir(), "key.json")
	o := r.output(t, func(c *Config) { c.AccessKeyID, c.AccessKeySecret, c.CredentialsFile = "", "", path })
	payload := encode(t, o, testBatch("x"))
	write := func(text string) {
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
		o.keys.looked = time.Time{} // a second has passed
	}
	for _, c := range []struct{ text, problem string }{
		{"", "no such file"},
		{"{", "must be a JSON object"},
		{`{"AccessKeyId":"key"}`, "AccessKeySecret is missing"},
		{`{"AccessKeyId":"key","AccessKeySecret":"old"}`, "SignatureNotMatch"},
		{`{"AccessKeyId":"key","AccessKeySecret":"secret","Expiration":"2030-01-01T00:00:00Z"}`, ""},
		{"{", ""}, // the key goes on while its file is being replaced
	} {
		if c.text != "" {
			write(c.text)
		}
		err := o.Send(context.Background(), payload)
		if c.problem == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.problem)
		var retry *pipeline.RetryError
		require.ErrorAs(t, err, &retry)
		require.Equal(t, queue.Setback{Scope: queue.Destination, After: pauseKey}, retry.Setback)
	}
}
