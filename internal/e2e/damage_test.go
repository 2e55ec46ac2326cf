package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAHubWithDamagedFilesGoesOnWithTheRest: the engine of the store ends the
// process when it finds damage, at a start or by a query. What is damaged is set
// aside by the next start.
func TestAHubWithDamagedFilesGoesOnWithTheRest(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	a.start(t)
	a.eventually("both halves of the store have lines", func() bool {
		w.write(100)
		a.requireAll(h, "store", w.lines)
		parts, err := filepath.Glob(filepath.Join(h.dir, "store/b/partitions/*/datadb/*/metadata.json"))
		require.NoError(t, err)
		return len(parts) > 0
	})
	h.stop()
	saved := t.TempDir()
	copyFolder(t, h.dir, saved)
	for _, c := range []struct{ file, how string }{
		{"datadb/*/columns_header.bin", "empty"}, // a query finds it
		{"datadb/*/message_values.bin", "zero"},  // another, later
		{"datadb/*/metadata.json", "half"},       // the start
		{"datadb/parts.json", "zero"},
		{"indexdb/*/metaindex.bin", "half"},
		{"indexdb/parts.json", "empty"},
	} {
		t.Run(c.file+" "+c.how, func(t *testing.T) {
			copyFolder(t, saved, h.dir)
			found, err := filepath.Glob(filepath.Join(h.dir, "store/a/partitions/*", c.file))
			require.NoError(t, err)
			require.NotEmpty(t, found)
			for _, f := range found {
				damageFile(t, f, c.how)
			}
			lines := h.revive(t, "store", len(found)+1)
			require.Less(t, lines, w.lines)
			require.Positive(t, lines, "the other half of the store is whole")
			aside, err := os.ReadDir(filepath.Join(h.dir, "damaged"))
			require.NoError(t, err)
			require.NotEmpty(t, aside)
			h.stop()
		})
	}
	copyFolder(t, saved, h.dir)
	h.start(t)
	w.write(100)
	a.requireAll(h, "store", w.lines)
	a.stop()
	h.stop()
}

func damageFile(t *testing.T, path, how string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	switch how {
	case "half":
		data = data[:len(data)/2]
	case "empty":
		data = nil
	case "zero":
		clear(data)
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// revive starts a hub as a service manager does, again and again, until it answers
// a query for everything, and returns how many lines it has. ends is how often it
// may end before.
func (h *hub) revive(t *testing.T, logstore string, ends int) (lines int) {
	t.Helper()
	for range ends + 1 {
		cmd := program(h.env, "wasmtail-hub", "--data-dir", h.dir, "--listen", h.addr)
		h.process = launch(t, cmd)
		if h.answers(t) {
			body, err := h.get("/api/v1/query", url.Values{
				"logstore": {logstore}, "project": {"test"}, "limit": {"10000"},
				"start": {time.Now().Add(-24 * time.Hour).Format(time.RFC3339)}, "end": {time.Now().Add(time.Hour).Format(time.RFC3339)},
			})
			if err == nil {
				for _, b := range body {
					if b == '\n' {
						lines++
					}
				}
				return lines
			}
		}
		select {
		case <-h.done:
		case <-time.After(patience):
			require.Fail(t, "the hub neither answers nor ends")
		}
	}
	require.Fail(t, fmt.Sprintf("the hub ended %d times", ends+1), h.log.String())
	return 0
}

// answers waits until a hub is ready, or has ended.
func (h *hub) answers(t *testing.T) bool {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		select {
		case <-h.done:
			return false
		case <-deadline:
			require.Fail(t, "the hub is not ready")
		case <-tick.C:
			if resp, err := http.Get("http://" + h.addr + "/readyz"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return true
				}
			}
		}
	}
}
