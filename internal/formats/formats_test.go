package formats

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// samples are lines written for this test, in the shape of each format.
var samples = map[string]string{
	"nginx_access": `192.0.2.7 - - [12/Mar/2026:08:15:02 +0000] "GET /cart?id=7 HTTP/1.1" 200 5120 "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)"
198.51.100.3 - alice [12/Mar/2026:08:15:03 +0000] "POST /login HTTP/2.0" 302 0 "-" "curl/8.5.0"`,
	"nginx_error": `2026/03/12 08:15:02 [error] 711#711: *25 open() "/srv/www/favicon.ico" failed (2: No such file or directory), client: 192.0.2.7
2026/03/12 08:15:09 [warn] 711#711: conflicting server name "shop.example" on 0.0.0.0:80, ignored`,
	"apache_error": `[Thu Mar 12 08:15:02.123456 2026] [core:error] [pid 812:tid 9] [client 192.0.2.7:5312] AH00037: link not allowed
[Thu Mar 12 08:15:04.000001 2026] [mpm_event:notice] [pid 812] AH00489: resuming normal operations`,
	"docker_json": `{"log":"listening on 8080\n","stream":"stdout","time":"2026-03-12T08:15:02.123456789Z"}
{"log":"ready\n","stream":"stderr","time":"2026-03-12T08:15:03.123456789Z"}`,
	"cri": `2026-03-12T08:15:02.123456789Z stdout F listening on 8080
2026-03-12T08:15:02.223456789+00:00 stderr P half a line`,
	"json": `{"ts":"2026-03-12T08:15:02Z","level":"info","msg":"order paid","amount":12.5}
{"ts":"2026-03-12T08:15:03Z","level":"warn","msg":"slow","took_ms":812}`,
	"klog": `I0312 08:15:02.123456    1234 controller.go:88] synced 12 items
E0312 08:15:03.000456    1234 leader.go:12] lost the lease`,
	"auditd": `type=SYSCALL msg=audit(1773303302.123:881): arch=c000003e syscall=257 success=yes exit=3
type=CWD msg=audit(1773303302.123:881): cwd="/root"`,
	"dpkg": `2026-03-12 08:15:02 startup archives unpack
2026-03-12 08:15:02 status installed libc6:amd64 2.36-9`,
	"alternatives": `update-alternatives 2026-03-12 08:15:02: run with --install /usr/bin/awk awk /usr/bin/mawk 5
update-alternatives 2026-03-12 08:15:03: link group awk updated`,
	"syslog": `Mar 12 08:15:02 web1 sshd[912]: Accepted publickey for deploy from 192.0.2.7
Mar  2 08:15:02 web1 CRON[99]: (root) CMD (run-parts /etc/cron.hourly)`,
	"syslog_iso": `2026-03-12T08:15:02.123456+00:00 web1 sshd[912]: Accepted publickey for deploy
2026-03-12T08:15:03.000001+00:00 web1 kernel: eth0 up`,
	"postgresql": `2026-03-12 08:15:02.123 UTC [812] LOG:  database system is ready to accept connections
2026-03-12 08:15:04.001 UTC [813] shop@shop ERROR:  relation "cart" does not exist at character 15
2026-03-12 08:15:04.001 UTC [813] shop@shop STATEMENT:  SELECT *
	FROM cart`,
	"application": `2026-03-12 08:15:02,123 [main] INFO  com.shop.Cart - started
2026-03-12 08:15:03,456 [http-1] ERROR com.shop.Cart - cannot load
java.lang.IllegalStateException: no stock
	at com.shop.Cart.load(Cart.java:42)`,
	"logfmt": `ts=2026-03-12T08:15:02Z level=info msg="order paid" amount=12.5
ts=2026-03-12T08:15:03Z level=warn msg=slow took=812ms`,
}

func TestEveryFormatIsRecognisedFromItsOwnLines(t *testing.T) {
	for _, f := range Catalogue() {
		sample, ok := samples[f.Name]
		require.True(t, ok, "format %s has no sample", f.Name)
		got := Detect([]byte(sample + "\n"))
		require.Equal(t, f.Name, got.Name)
		require.GreaterOrEqual(t, got.Confidence, 0.99)
	}
}

func TestRandomAndOrdinaryTextIsPlain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 20_000)
	for i := range noise {
		noise[i] = byte(rnd.IntN(256))
	}
	for _, text := range []string{
		string(noise), "", "\n\n\n", "one line",
		strings.Repeat("It was the best of times, it was the worst of times.\n", 50),
		"#!/bin/sh\nset -e\nexport A=1 B=2\necho done\n",
	} {
		got := Detect([]byte(text))
		require.Equal(t, "plain", got.Name, "%.60q", text)
		require.Zero(t, got.Confidence)
	}
}

func TestAStrayLineDoesNotHideTheFormat(t *testing.T) {
	got := Detect([]byte(strings.Repeat(samples["syslog"]+"\n", 5) + "-- rotated --\nMar 12 08:1"))
	require.Equal(t, "syslog", got.Name)
	require.Less(t, got.Confidence, 1.0)
}

func FuzzDetect(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sample []byte) {
		if r := Detect(sample); (r.Confidence == 0) != (r.Name == "plain") {
			t.Fatalf("%s with confidence %v", r.Name, r.Confidence)
		}
	})
}
