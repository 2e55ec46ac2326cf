//go:build linux && peers

package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// frameEnd ends a record in the stream of rsyslog and syslog-ng: a line end, or
// the record separator of ASCII where records have line ends in them.
func frameEnd(w workload) byte {
	if w.name == multiline.name {
		return 0x1e
	}
	return '\n'
}

// framesOf is the sink of rsyslog and syslog-ng: plain TCP, and parsed records
// as JSON objects, of which some are checked.
func framesOf(t *testing.T, s *sink) {
	t.Helper()
	frames := func(w workload) sinkKind {
		return tcpSink(frameEnd(w), func(record []byte) error {
			if w.fields == 0 {
				return nil
			}
			var fields map[string]any
			if err := json.Unmarshal(record, &fields); err != nil {
				return fmt.Errorf("a record cannot be read: %w: %s", err, record)
			}
			if len(fields) != w.fields {
				return fmt.Errorf("a record has %d fields, want %d: %s", len(fields), w.fields, record)
			}
			return nil
		})
	}
	frames(s.workload)(t, s)
}

// rsyslog reads with imfile by inotify, without the metadata it could add, and
// sends through a queue of its own for the ruleset: of the queues tried, one of
// 10,000 messages with a worker that takes 1,024 at a time was the fastest
// (longer ones do not stay in the cache of the processor), and one of type
// Direct the slowest. Its library for regular expressions gives one group a
// call, so lines are taken apart by mmnormalize, which is what its users do;
// JSON by mmjsonparse, without the cookie it looks for.
func rsyslog(d debian) contender {
	return contender{name: "rsyslog", sink: framesOf, prepare: func(t *testing.T, s site) command {
		t.Helper()
		require.NoError(t, os.Mkdir(filepath.Join(s.dir, "work"), 0o700))
		host, port, _ := strings.Cut(s.sink, ":")
		var b strings.Builder
		fmt.Fprintf(&b, `global(workDirectory="%s/work" maxMessageSize="256k")
module(load="imfile" mode="inotify")
module(load="mmnormalize")
module(load="mmjsonparse")
template(name="message" type="list") { property(name="msg") }
template(name="fields" type="list") { property(name="$!all-json-plain") }
input(type="imfile" file="%s/*.log" tag="app" ruleset="out" addMetadata="off" escapeLF="off"`, s.dir, s.watch)
		if s.workload.name == multiline.name {
			fmt.Fprintf(&b, ` startmsg.regex="%s" readTimeout="1"`, posixJavaStart)
		}
		fmt.Fprintf(&b, `)
ruleset(name="out" queue.type="FixedArray" queue.size="10000" queue.dequeueBatchSize="1024" queue.workerThreads="1") {
`)
		template := "message"
		switch s.workload.name {
		case nginx.name:
			rules := s.write(t, "nginx.rulebase", nginxRules)
			fmt.Fprintf(&b, "  action(type=\"mmnormalize\" rulebase=\"%s\" useRawMsg=\"off\")\n", rules)
			template = "fields"
		case jsonLines.name:
			fmt.Fprintf(&b, "  action(type=\"mmjsonparse\" cookie=\"\")\n")
			template = "fields"
		}
		fmt.Fprintf(&b, "  action(type=\"omfwd\" target=\"%s\" port=\"%s\" protocol=\"tcp\" template=\"%s\" TCP_FrameDelimiter=\"%d\")\n}\n",
			host, port, template, frameEnd(s.workload))
		path := s.write(t, "rsyslog.conf", b.String())
		return command{env: d.env(t), argv: []string{
			d.path("usr/sbin/rsyslogd"), "-n", "-f", path, "-i", filepath.Join(s.dir, "pid"),
			"-M", d.modules(t, "usr/lib/*/rsyslog/imfile.so"),
		}}
	}}
}

// posixJavaStart is javaStart in POSIX syntax.
const posixJavaStart = `^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3} `

const nginxRules = `version=2
rule=:%remote_addr:word% - %remote_user:word% [%time_local:char-to:]%] "%method:word% %uri:word% %protocol:char-to:"%" %status:number% %body_bytes_sent:number% "%http_referer:char-to:"%" "%http_user_agent:char-to:"%"
`

// syslogNG reads with a wildcard source, without parsing lines as syslog, and
// sends with flow control, without which it drops what it cannot send. Of the
// window and queue sizes tried these were the fastest and took the least memory.
// Access lines are taken apart by PCRE, with its compiler for patterns on, and
// written by a template, which is twice as fast as its JSON formatter and right
// only because these values need no escapes; JSON goes through its own parser
// and formatter.
func syslogNG(d debian) contender {
	return contender{name: "syslog-ng", sink: framesOf, prepare: func(t *testing.T, s site) command {
		t.Helper()
		host, port, _ := strings.Cut(s.sink, ":")
		source, parser, template := "", "", `${MESSAGE}`
		switch s.workload.name {
		case multiline.name:
			source = fmt.Sprintf(` multi-line-mode(regexp) multi-line-prefix('%s') multi-line-timeout(1)`, posixJavaStart)
		case nginx.name:
			parser = fmt.Sprintf("  parser { regexp-parser(patterns('%s') prefix('.f.')); };\n", nginxPattern)
			template = objectTemplate(nginxPattern)
		case jsonLines.name:
			parser = "  parser { json-parser(prefix('.f.')); };\n"
			template = `$(format-json --scope none --key .f.* --rekey .f.* --shift 3)`
		}
		end := `\n`
		if frameEnd(s.workload) != '\n' {
			end = fmt.Sprintf(`\x%x`, frameEnd(s.workload))
		}
		path := s.write(t, "syslog-ng.conf", fmt.Sprintf(`@version: 3.35
options { stats-freq(0); use-dns(no); keep-hostname(yes); log-msg-size(262144); };
source files {
  wildcard-file(base-dir("%s") filename-pattern("*.log") flags(no-parse) follow-freq(0.1)
    log-fetch-limit(100) log-iw-size(10000) max-files(10)%s);
};
destination sink {
  network("%s" port(%s) transport("tcp") template("%s%s") log-fifo-size(20000) flush-lines(100));
};
log {
  source(files);
%s  destination(sink);
  flags(flow-control);
};
`, s.watch, source, host, port, template, end, parser))
		return command{env: d.env(t), argv: []string{
			d.path("usr/sbin/syslog-ng"), "-F", "--no-caps", "-f", path,
			"-R", filepath.Join(s.dir, "persist"), "-p", filepath.Join(s.dir, "pid"), "-c", filepath.Join(s.dir, "control"),
			"--module-path=" + d.modules(t, "usr/lib/syslog-ng/*/libaffile.so"),
		}}
	}}
}

// objectTemplate writes the groups of a pattern as a JSON object, for values
// that need no escapes.
func objectTemplate(pattern string) string {
	var b strings.Builder
	for _, name := range regexp.MustCompile(pattern).SubexpNames()[1:] {
		fmt.Fprintf(&b, `,\"%[1]s\":\"${.f.%[1]s}\"`, name)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}
