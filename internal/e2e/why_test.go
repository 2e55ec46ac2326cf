package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// whyAnswer is what `wasmtail why -o json` says.
type whyAnswer struct {
	File, Pipeline, Code, Gate, Cause, Fix string
	Passed                                 []struct{ Gate, Found string }
}

// why runs `wasmtail why` on a file and requires a reason.
func (a *agentProcess) why(t *testing.T, code, path string, args ...string) whyAnswer {
	t.Helper()
	got := wasmtail(t, append([]string{"why", "--json", "-c", a.config, path}, args...)...)
	var answer whyAnswer
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &answer), got.stdout+got.stderr)
	require.Equal(t, code, answer.Code, got.stdout)
	if code == "delivered" {
		require.Zero(t, got.code, got.stderr)
		return answer
	}
	require.Equal(t, 1, got.code, got.stderr)
	require.NotEmpty(t, answer.Fix)
	require.NotEmpty(t, answer.Gate)
	return answer
}

// situations are files in a folder of logs, and why they are not at the hub.
type situation struct {
	name, code string
	make       func(t *testing.T, path string)
	says       string // in the cause or the fix
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, 0o644)) // the agent is another user
}

func text(content string) func(*testing.T, string) {
	return func(t *testing.T, path string) { t.Helper(); write(t, path, content) }
}

func situations() []situation {
	return []situation{
		{"fine.log", "delivered", text("a line\n"), ""},
		{"none.log", "not_found", func(*testing.T, string) {}, "nothing has this name"},
		{"link.log", "dangling_link", func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, os.Symlink(path+".gone", path))
		}, "link.log.gone"},
		{"pipe.log", "not_regular", func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, syscall.Mkfifo(path, 0o644))
		}, "is a named pipe"},
		{"folder.log", "not_regular", func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, os.Mkdir(path, 0o755))
		}, "is a folder"},
		{"secret.log", "no_permission", func(t *testing.T, path string) {
			t.Helper()
			write(t, path, "a line\n")
			require.NoError(t, os.Chmod(path, 0))
		}, "setfacl"},
		{"closed/a.log", "no_permission", func(t *testing.T, path string) {
			t.Helper()
			write(t, path, "a line\n")
			require.NoError(t, os.Chmod(filepath.Dir(path), 0o600))
			t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) })
		}, "closed"},
		{"other.txt", "no_include", text("a line\n"), "no pattern in include of any pipeline matches it"},
		{"debug.log", "excluded", text("a line\n"), `debug*.log" in exclude of pipeline p`},
		{"cache/a.log", "excluded", text("a line\n"), `cache" in exclude of pipeline p`},
		{"one/two/three/four/a.log", "too_deep", text("a line\n"), "max_depth (2)"},
		{"old.log.gz", "compressed", text("x"), "it is compressed"},
		{"loop/back/a.log", "link_loop", func(t *testing.T, path string) {
			t.Helper()
			write(t, filepath.Join(filepath.Dir(filepath.Dir(path)), "a.log"), "a line\n")
			require.NoError(t, os.Symlink(".", filepath.Dir(path)))
		}, "is a symbolic link to a folder above it"},
		{"start/before.log", "before_start", text("before\n"), "start_at: end passed over them"},
		{"fine.log.7", "rotated_before", func(t *testing.T, path string) {
			t.Helper()
			write(t, path, "from another time\n")
			then := time.Now().Add(-24 * time.Hour)
			require.NoError(t, os.Chtimes(path, then, then))
		}, "like a rotated part of"},
		{"hard2.log", "hard_link", func(t *testing.T, path string) {
			t.Helper()
			write(t, filepath.Join(filepath.Dir(path), "hard1.log"), "a line of two names\n")
		}, "hard1.log, and read under that name"},
		{"empty.log", "empty", text(""), ""},
		{"half.log", "unfinished_line", text("a line\nand a half"), "byte 7"},
		{"parse/bad.log", "parse_failed", text("nonsense\nmore\n"), "2 of 2 records could not be parsed; the last because of: regex: no match"},
		{"drop/all.log", "filtered", text("a\nb\n"), "took out all 2 records"},
		{"few/b.log", "max_files", func(t *testing.T, path string) {
			t.Helper()
			write(t, filepath.Join(filepath.Dir(path), "a.log"), "a line\n")
		}, "max_files"},
	}
}

// situationsYAML are the pipelines for the situations, below a folder of logs.
func situationsYAML(logs string) string {
	return strings.ReplaceAll(`  p:
    input: {type: files, include: ["L/*.log", "L/*.gz", "L/one/**/*.log", "L/closed/*.log", "L/cache*/*.log", "L/loop/**/*.log", "L/new/*.log"], exclude: ["L/debug*.log", "L/cache"], start_at: beginning, max_depth: 2, partial_timeout: 10m}
    outputs: [hub]
    logstore: store
  start:
    input: {type: files, include: ["L/start/*.log"]}
    outputs: [hub]
    logstore: store
  parse:
    input: {type: files, include: ["L/parse/*.log"], start_at: beginning}
    processors: [{type: regex, pattern: '^(?P<n>\d+)$'}]
    outputs: [hub]
    logstore: store
  drop:
    input: {type: files, include: ["L/drop/*.log"], start_at: beginning}
    processors: [{type: filter, drop: [{field: content, exists: true}]}]
    outputs: [hub]
    logstore: store
  few:
    input: {type: files, include: ["L/few/*.log"], start_at: beginning, max_files: 1}
    outputs: [hub]
    logstore: store
`, "L", logs)
}

// TestWhyNamesTheOneCause asks about real files of every kind, of an agent that
// runs as another user where the test may do that.
func TestWhyNamesTheOneCause(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	dir, as := otherUser(t)
	logs := filepath.Join(dir, "logs")
	require.NoError(t, os.Mkdir(logs, 0o755))
	a := newAgentIn(t, dir, h.addr, situationsYAML(logs))
	require.NoError(t, os.Chmod(a.config, 0o644)) // the reader is another user
	a.as = as
	for _, s := range situations() {
		s.make(t, filepath.Join(logs, s.name))
	}
	if as == nil {
		require.NotZero(t, os.Getuid(), "no other user could be had")
	}
	a.start(t)
	a.eventually("the agent has found them", func() bool {
		return h.ledger().ReadRecords >= 8
	})
	// These come after what is followed.
	write(t, filepath.Join(logs, "few", "b.log"), "a line\n")
	require.NoError(t, os.Link(filepath.Join(logs, "hard1.log"), filepath.Join(logs, "hard2.log")))
	for _, s := range situations() {
		t.Run(s.code+"/"+s.name, func(t *testing.T) {
			got := a.why(t, s.code, filepath.Join(logs, s.name), "--wait=30s")
			require.Contains(t, got.Cause+"\n"+got.Fix, s.says)
		})
	}
	t.Run("text", func(t *testing.T) {
		got := wasmtail(t, "why", "-c", a.config, filepath.Join(logs, "debug.log"))
		require.Equal(t, 1, got.code)
		require.Regexp(t, `^\S+/debug.log: excluded\n  cause: ".*" in exclude of pipeline p takes it out\n  fix:   narrow the pattern in exclude, and reload the agent\n\nGATE +FOUND\nexists +7 bytes.*\nregular +a regular file\npermission +\w+ may read it\ninclude +pipeline p\nexclude +STOPS HERE\n$`, got.stdout)
		requireTame(t, got.stdout)
	})
	a.stop()
	static := map[string]bool{"not_found": true, "dangling_link": true, "not_regular": true, "no_permission": true, "no_include": true, "excluded": true, "too_deep": true, "compressed": true, "link_loop": true, "before_start": true, "empty": true, "parse_failed": true, "filtered": true}
	for _, s := range situations() {
		t.Run("stopped/"+s.name, func(t *testing.T) {
			want := "agent_not_running"
			if static[s.code] {
				want = s.code
			}
			a.why(t, want, filepath.Join(logs, s.name), "--wait=0s")
		})
	}
}

func TestWhyFollowsAFileThroughTheAgent(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	w.write(10)
	got := a.why(t, "agent_not_running", w.path)
	require.Contains(t, got.Cause, "cannot reach the agent")
	a.start(t)
	a.why(t, "delivered", w.path, longWait)
	w.rename(w.path, w.path+".1") // it goes on under its new name
	got = a.why(t, "delivered", w.path+".1", longWait)
	require.Equal(t, "p", got.Pipeline)
	w.open(w.path)
	w.write(5)
	a.why(t, "delivered", w.path, longWait)

	// Everything is acknowledged, and nothing is under way, when the hub goes.
	h.stop()
	got = a.why(t, "hub_unreachable", w.path)
	require.Contains(t, got.Cause, "cannot reach the hub")
	w.write(5)
	a.eventually("the output fails", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		for _, o := range s.Outputs {
			if o.Name == "hub" {
				return o.Error != ""
			}
		}
		return false
	})
	got = a.why(t, "output_failing", w.path)
	require.Contains(t, got.Cause, "output hub fails since")

	h.dir = t.TempDir()
	h.start(t)
	a.eventually("the hub has the rest", func() bool { return h.ledger().Stored >= 5 })
	a.why(t, "hub_missing", w.path+".1", "--wait=0s")
	a.stop()
	got = a.why(t, "hub_missing", w.path+".1", "--wait=0s")
	require.Contains(t, got.Fix, "wasmtail verify")
	h.stop()
	a.why(t, "agent_not_running", w.path)
}

func TestWhyKnowsThatTheAgentRunsAnotherConfiguration(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path, "store"))
	w.write(1)
	a.start(t)
	a.why(t, "delivered", w.path, longWait)
	other := filepath.Join(filepath.Dir(w.path), "other.log")
	write(t, other, "a line\n")
	config, err := os.ReadFile(a.config)
	require.NoError(t, err)
	changed := strings.Replace(string(config), fmt.Sprintf("%q", w.path), fmt.Sprintf("%q, %q", w.path, other), 1)
	require.NotEqual(t, string(config), changed)
	a.why(t, "no_include", other)
	require.NoError(t, os.WriteFile(a.config, []byte(changed), 0o600))
	a.why(t, "config_stale", other)
	require.NoError(t, os.WriteFile(a.config, []byte(strings.Replace(changed, "data_dir: ./state", "data_dir: ./state2", 1)), 0o600))
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	a.eventually("the configuration is refused", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		return s.Config.Error != ""
	})
	require.Contains(t, a.why(t, "config_refused", other).Cause, "cannot change data_dir")
	require.NoError(t, os.WriteFile(a.config, []byte(changed), 0o600))
	require.NoError(t, a.cmd.Process.Signal(syscall.SIGHUP))
	a.why(t, "delivered", other, longWait)
	a.stop()
}

func TestWhyKnowsACopy(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, pipelineYAML(w.path+"*", "store"))
	w.write(500) // enough to be sure of
	a.start(t)
	a.why(t, "delivered", w.path, longWait)
	half := filepath.Join(filepath.Dir(w.path), "copying")
	w.copyTo(half)
	w.rename(half, w.path+".1") // whole at once: an empty file would be one of its own
	a.eventually("the copy is known", func() bool {
		s, err := a.status()
		require.NoError(t, err)
		return len(s.Pipelines[0].Files) == 2
	})
	a.why(t, "copy", w.path+".1")
	a.verify(t, 0, longWait, w.path, w.path+".1") // by its content
	a.stop()
	a.why(t, "copy", w.path+".1")
	require.Equal(t, 2, wasmtail(t, "why", "-c", a.config, "-p", "none", w.path).code)
	require.Equal(t, 2, wasmtail(t, "why", "-c", a.config).code)
}

// receiver stands for a hub whose ledger is empty.
func receiver(t *testing.T, put http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-log-requestid", "1")
		switch r.URL.Path {
		case "/api/v1/ledger":
			_, _ = w.Write([]byte(`{"generations":[]}`))
		case "/api/v1/query":
		default:
			put(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestWhyKnowsWhatAReceiverDoes(t *testing.T) {
	t.Parallel()
	t.Run("rejected", func(t *testing.T) {
		t.Parallel()
		w := newWriter(t)
		a := newAgentIn(t, t.TempDir(), receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errorCode":"PostBodyInvalid","errorMessage":"test"}`))
		}), pipelineYAML(w.path, "store"))
		w.write(3)
		a.start(t)
		a.eventually("it is put aside", func() bool {
			s, err := a.status()
			require.NoError(t, err)
			return len(s.Pipelines[0].Files) == 1 && s.Pipelines[0].Files[0].Acked > 0
		})
		got := a.why(t, "rejected", w.path, "--wait=0s")
		require.Contains(t, got.Fix, filepath.Join(a.dir, "state", "rejected"))
		require.Len(t, a.verify(t, 1, "--wait=0s", w.path)[0].Generations[0].Missing, 1)
	})
	t.Run("queued", func(t *testing.T) {
		t.Parallel()
		w := newWriter(t)
		held := make(chan struct{})
		a := newAgentIn(t, t.TempDir(), receiver(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-held: // it takes its time
			case <-r.Context().Done():
			}
		}), pipelineYAML(w.path, "store"))
		t.Cleanup(func() { close(held) })
		w.write(3)
		a.start(t)
		a.eventually("a batch is under way", func() bool {
			s, err := a.status()
			require.NoError(t, err)
			return s.Outputs[0].QueuedBytes+s.Outputs[1].QueuedBytes > 0
		})
		got := a.why(t, "queued", w.path, "--wait=0s")
		require.Contains(t, got.Cause, "wait for output hub")
		a.kill()
	})
}

func TestWhyKnowsAModuleThatDoesNotServe(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	w := newWriter(t)
	a := newAgent(t, h, modulePipeline("lines", w.path, filepath.Join(t.TempDir(), "none.wasm"), ", on_module_error: hold, sha256: "+strings.Repeat("0", 64)))
	w.write(3)
	a.start(t)
	got := a.why(t, "module_not_serving", w.path)
	require.Contains(t, got.Cause, "none.wasm")
	require.Equal(t, "parser", got.Gate)
	a.stop()
}
