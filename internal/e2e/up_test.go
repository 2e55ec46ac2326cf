package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	loginLink = regexp.MustCompile(`http://\S+/login\?token=\S+`)
	passed    = regexp.MustCompile(`(?m)^\d+ passed, 0 failed$`)
)

// up starts agent and hub as a newcomer does, in an empty folder.
func up(t *testing.T) (p *process, link, state string) {
	t.Helper()
	state = filepath.Join(t.TempDir(), "state")
	p = start(t, nil, "wasmtail", "up", "--demo", "--listen", "127.0.0.1:0", "--state", state)
	p.eventually("the login link is printed", func() bool { link = loginLink.FindString(p.log.String()); return link != "" })
	return p, link, state
}

func TestUpShowsThisMachinesLogsAndStopsWhole(t *testing.T) {
	p, link, state := up(t)
	require.Regexp(t, `FILE +FORMAT +SIZE +PROBLEM AND FIX`, p.log.String())
	require.Contains(t, p.log.String(), "writing demonstration logs")
	require.Contains(t, p.log.String(), state)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, want := range []int{http.StatusSeeOther, http.StatusUnauthorized} { // the link works once
		resp, err := client.Get(link)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode)
	}
	p.stop()
	_, err := client.Get(link)
	require.Error(t, err, "the hub goes on after the end of up")
}

// TestTheConsoleInARealBrowser runs the console's own end-to-end script in
// Chromium against a hub that an agent reports to.
func TestTheConsoleInARealBrowser(t *testing.T) {
	web, err := filepath.Abs("../../hub/console/web")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(web, "node_modules", "playwright-core"))
	require.NoError(t, err, "the console's packages are missing: run make console")
	p, link, _ := up(t)
	script := exec.Command("node", filepath.Join("e2e", "console.e2e.mjs"))
	script.Dir = web
	script.Env = append(os.Environ(), "HUB_URL="+link, "PATIENCE_MS="+strconv.FormatInt(patience.Milliseconds(), 10))
	out, err := script.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, passed, string(out))
	p.stop()
}
