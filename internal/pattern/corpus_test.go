package pattern

// sample is a pattern that people write for their logs, with lines that match
// and lines that nearly do.
type sample struct {
	name, expr string
	lines      []string
}

const (
	nginxCombined = `^(?P<remote_addr>\S+) (?P<ident>\S+) (?P<remote_user>\S+) \[(?P<time_local>[^\]]+)\] "(?P<method>\S+) (?P<uri>\S+) (?P<protocol>[^"]+)" (?P<status>\d+) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"$`
	nginxLine     = `203.0.113.195 - frank [10/Oct/2025:13:55:36 +0000] "GET /shop/items?category=books&sort=price&page=3 HTTP/1.1" 200 23261 "https://www.example.com/shop/index.html" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"`
	syslogLine    = `<34>Oct 11 22:14:15 web-17 sshd[24631]: Failed password for invalid user admin from 198.51.100.23 port 51122 ssh2`
	javaLine      = `2025-03-14 09:26:53.589 ERROR [http-nio-8080-exec-10] c.e.shop.CartController - Cannot add item 4711: java.lang.IllegalStateException: no stock`
)

const (
	grokIP     = `(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2}))`
	grokHost   = `\b(?:[0-9A-Za-z][0-9A-Za-z-]{0,62})(?:\.(?:[0-9A-Za-z][0-9A-Za-z-]{0,62}))*(?:\.?|\b)`
	grokNumber = `(?:[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))`
	grokMonth  = `\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|Jun(?:e)?|Jul(?:y)?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b`
	grokTime   = `(?:2[0123]|[01]?[0-9]):(?:[0-5][0-9])(?::(?:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?))?`
	grokISO    = `[0-9]{4}-(?:0?[1-9]|1[0-2])-(?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9])[T ](?:2[0123]|[01]?[0-9]):?(?:[0-5][0-9])(?::?(?:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?))?(?:Z|[+-](?:2[0123]|[01]?[0-9])(?::?(?:[0-5][0-9])))?`
)

var samples = []sample{
	{"nginx combined", nginxCombined, []string{nginxLine, nginxLine + "x", nginxLine[:200], nginxLine[1:], `1 - - [x] "G / H" 1 2 "" ""`}},
	{"nginx combined unanchored", nginxCombined[1 : len(nginxCombined)-1], []string{nginxLine, "junk " + nginxLine, nginxLine[:150]}},
	{"nginx request as a whole", `^(\S+) - (\S+) \[([^\]]+)\] "([A-Z]+) ([^"]*?) HTTP/(\d\.\d)" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"(?: "([^"]*)")?$`, []string{nginxLine, nginxLine + ` "10.0.0.1"`}},
	{"nginx greedy", `(.*) - (.*) \[(.*)\] "(.*) (.*) (.*)" (.*) (.*) "(.*)" "(.*)"`, []string{nginxLine, nginxLine[:220]}},
	{"nginx lazy", `^(.*?) - (.*?) \[(.*?)\] "(.*?) (.*?) (.*?)" (.*?) (.*?) "(.*?)" "(.*?)"$`, []string{nginxLine, nginxLine[:220]}},
	{"nginx error", `^(?P<time>\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}) \[(?P<level>\w+)\] (?P<pid>\d+)#(?P<tid>\d+): (?:\*(?P<cid>\d+) )?(?P<message>.*?)(?:, client: (?P<client>[^,]+))?(?:, server: (?P<server>[^,]*))?(?:, request: "(?P<request>[^"]*)")?$`, []string{
		`2025/03/14 09:26:53 [error] 31#31: *4711 open() "/var/www/x" failed (2: No such file or directory), client: 192.0.2.7, server: example.com, request: "GET /x HTTP/1.1"`,
		`2025/03/14 09:26:53 [notice] 1#1: start worker processes`,
		`2025/03/14 09:26:53 [error] 31#31: *4711 connect() failed, client: 192.0.2.7, upstream: "x"`,
	}},
	{"apache common", `^(\S+) (\S+) (\S+) \[([\w:/]+\s[+\-]\d{4})\] "(\S+)\s?(\S+)?\s?(\S+)?" (\d{3}|-) (\d+|-)`, []string{nginxLine, `127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "-" 408 -`}},
	{"apache error", `^\[(?P<time>[^\]]+)\] \[(?:(?P<module>\w+):)?(?P<level>\w+)\] \[pid (?P<pid>\d+)(?::tid (?P<tid>\d+))?\](?: \[client (?P<client>[^\]]+)\])? (?P<message>.*)`, []string{
		`[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 4328636416] [client 72.15.99.187] File does not exist: /usr/local/apache2/htdocs/favicon.ico`,
		`[Fri Sep 09 10:42:29 2011] [error] [pid 3] hello`,
	}},
	{"syslog rfc3164", `^<(?P<pri>\d{1,3})>(?P<time>[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2}) (?P<host>\S+) (?P<program>[^\[:\s]+)(?:\[(?P<pid>\d+)\])?: (?P<message>.*)$`, []string{syslogLine, `<5>Oct  1 22:14:15 h su: 'su root' failed`, `<5>Oct  1 22:14:15 h su[x]: y`, syslogLine[4:]}},
	{"syslog loose", `(?P<time>\w{3}\s+\d+\s\S+)\s(?P<host>\S+)\s(?P<app>.+?)(?:\[(?P<pid>\d+)\])?:\s(?P<msg>.+)`, []string{syslogLine, syslogLine[:40]}},
	{"syslog rfc5424", `^<(\d+)>(\d+) (\S+) (\S+) (\S+) (\S+) (\S+) (-|(?:\[.*?\])+) ?(.*)$`, []string{
		`<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App"][x y="1"] An application event`,
		`<34>1 2003-10-11T22:14:15.003Z m su - ID47 - BOM'su root' failed`, `<34>1 2003-10-11T22:14:15.003Z m su - ID47 [ open`,
	}},
	{"java log4j", `^(?P<time>\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}[.,]\d{3})\s+(?P<level>[A-Z]+)\s+\[(?P<thread>[^\]]*)\]\s+(?P<logger>\S+)\s+-\s+(?P<message>.*)$`, []string{javaLine, javaLine[:60], "2025-03-14 09:26:53,589 WARN  [main] a.B - "}},
	{"java levels", `(?P<level>TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|SEVERE)`, []string{javaLine, "xWARNINGx", "DEBU", "FATAERROR"}},
	{"java exception", `^(?P<class>(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error))(?:: (?P<message>.*))?$`, []string{"java.lang.IllegalStateException: no stock", "java.lang.OutOfMemoryError", "a.b.c", "java.lang.ErrorExceptionx"}},
	{"java stack", `^\s+at (?P<method>[\w.$]+(?:<init>)?)\((?P<file>[^:)]+)(?::(?P<line>\d+))?\)`, []string{"\tat com.example.Foo.bar(Foo.java:42)", "  at a.B.<init>(Native Method)", "at x"}},
	{"klog", `^([IWEF])(\d{4} \d{2}:\d{2}:\d{2}\.\d+)\s+(\d+) ([^:]+):(\d+)\] (.*)`, []string{`I0314 09:26:53.589793       1 controller.go:116] Starting workers`, `E0314 09:26:53.5 1 x] y`}},
	{"logrus", `time="(?P<time>[^"]*)" level=(?P<level>\w+) msg="(?P<msg>(?:[^"\\]|\\.)*)"`, []string{`time="2025-03-14T09:26:53Z" level=info msg="say \"hello\" to x" a=b`, `time="2025-03-14T09:26:53Z" level=info msg="open`, `x time="1" level=warn msg=""`}},
	{"key value", `level=(?P<level>\S+).*?user=(?P<user>\S+).*duration=(?P<ms>\d+(?:\.\d+)?)ms`, []string{`ts=1 level=info caller=x.go user=bob path=/x duration=12.5ms duration=13ms`, `level=info user=bob`, `level=info x level=warn user=a duration=1s`}},
	{"haproxy", `(?P<client>[\d.]+):(?P<port>\d+) \[(?P<date>[^\]]+)\] (?P<frontend>\S+) (?P<backend>[^/ ]+)/(?P<server>\S+) (?P<tq>-?\d+)/(?P<tw>-?\d+)/(?P<tc>-?\d+)/(?P<tr>-?\d+)/(?P<tt>\+?\d+) (?P<status>\d{3}) (?P<bytes>\+?\d+) (\S) (\S) (\S{4}) (\d+)/(\d+)/(\d+)/(\d+)/(\+?\d+) (\d+)/(\d+)(?: \{([^}]*)\})?(?: \{([^}]*)\})? "(\S+) (\S+)(?: (\S+))?"`, []string{
		`haproxy[14389]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"`,
		`10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 -1/-1/-1/-1/+8490 -1 0 - - CR-- 1/1/1/1/0 0/0 "BAD"`,
	}},
	{"postgres", `^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \w+) \[(?P<pid>\d+)(?:-\d+)?\] (?:(?P<user>[^@]*)@(?P<db>\S*) )?(?P<level>[A-Z]+[0-9]?):\s+(?P<message>(?s:.*))`, []string{
		`2025-03-14 09:26:53.589 UTC [4711] app@shop ERROR:  duplicate key value violates unique constraint "items_pkey"`,
		`2025-03-14 09:26:53 UTC [4711-1] LOG:  checkpoint` + "\nnext", `2025-03-14 09:26:53 UTC [4711] a@b`,
	}},
	{"mysql slow", `# User@Host: (?P<user>\S+?)\[[^\]]*\] @ (?P<host>\S*) \[(?P<ip>[^\]]*)\]`, []string{`# User@Host: root[root] @ localhost []  Id:     5`, `# User@Host: root @ x`}},
	{"redis", `^(?P<pid>\d+):(?P<role>[MSCX]) (?P<time>\d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) (?P<level>[.\-*#]) (?P<message>.*)`, []string{`1:M 14 Mar 2025 09:26:53.589 * Ready to accept connections`, `1:Z 14`}},
	{"python", `^(?P<time>[\d\-]+ [\d:,]+) - (?P<name>[\w.]+) - (?P<level>\w+) - (?P<msg>.*)$`, []string{`2025-03-14 09:26:53,589 - app.views - INFO - hello - world`, `2025 - x`}},
	{"bracket after greedy", `^(?P<ip>\S+) .* \[(?P<t>[^\]]+)\]`, []string{nginxLine, nginxLine + " [x] [y", `a b [c`, `a [c]`}},
	{"grok ip", grokIP, []string{nginxLine, "1.2.3", "256.1.1.1", "x 10.0.0.255:80", "1.2.3.4.5.6", "999.999.999.999"}},
	{"grok hostname", grokHost, []string{"www.example.com.", "-", "a.b-c.d x", " host"}},
	{"grok number", grokNumber, []string{"-12.5e3", "+", ".5", "x1", "12."}},
	{"grok month", grokMonth, []string{"14 Mar 2025", "Marc", "October", "Octobe", "Sept", "x May"}},
	{"grok time", grokTime, []string{"at 9:26", "24:00:00", "23:59:60.123", "1:2"}},
	{"grok iso8601", grokISO, []string{"2025-03-14T09:26:53.589793Z", "2025-13-14", "x 2025-3-4 1:00+01:00", "20250314"}},
	{"grok syslog base", `(?P<time>` + grokMonth + ` +(?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9]) ` + grokTime + `) (?P<host>(?:` + grokHost + `|` + grokIP + `)) (?P<program>[\x21-\x5a\x5c\x5e-\x7e]+)(?:\[(?P<pid>\b(?:[1-9][0-9]*)\b)\])?:`, []string{syslogLine, `Mar 3 1:02:03 10.0.0.1 x/y:`}},
	{"grok path", `(?P<path>(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_\-]*)+)(?:\?(?P<query>[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]<>]*))?`, []string{nginxLine, "/", "no"}},
	{"iso start", `^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}`, []string{javaLine, "2025-03-14T9", ""}},
	{"bracket start", `^\[?\d{4}`, []string{"[2025", "2025", "x"}},
	{"multi-line start", `^\S+ \[`, []string{nginxLine, "10.0.0.1 [x", " ["}},
	{"continuation", `^\s+|^Caused by:`, []string{"\tat x", "Caused by: y", "x", ""}},
	{"uuid", `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, []string{"id=123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-42661417400", "1123e4567-e89b-12d3-a456-426614174000"}},
	{"email", `[\w.+-]+@[\w-]+\.[\w.-]+`, []string{"to bob.x+y@mail.example.com.", "a@b", "@@a@b.c"}},
	{"case-blind", `(?i)\b(error|fail(?:ed|ure)?|exception|task)\b`, []string{"An ERROR", "failures", "Failed!", "ta\u017fK", "tas\u212a"}},
	{"case-blind key", `(?i)request[_-]?id[=:]\s*"?([0-9a-f-]+)`, []string{`Request-ID: "12ab-4"`, `requestid=x`, `reque\u017ft_id=1`}},
	{"quoted or bare", `(\w+)=(?:"([^"]*)"|(\S+))`, []string{`a="b c" d=e`, `a="b`, `=`, `k=v`}},
	{"csv", `^([^,]*),([^,]*),("(?:[^"]|"")*"|[^,]*),(.*)$`, []string{`a,b,"c,""d""",e`, `a,b,c,d,e`, `a,b,"c`}},
	{"aws elb", `^(\S+) (\S+) (\S+) ([\d.]+):(\d+) ([\d.]+:\d+|-) (-?[\d.]+) (-?[\d.]+) (-?[\d.]+) (\d+|-) (\d+|-) (\d+) (\d+) "(\S+) (\S+) (\S+)" "(.*?)" (\S+) (\S+)`, []string{
		`http 2018-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - -`,
		`http x y 1.2.3.4:5 - -1 -1 -1 460 - 0 0 "GET / H" "a" b" - -`,
	}},
	{"non-ascii", `用户(?P<user>\S+)登录，来自(?P<ip>[\d.]+)`, []string{"用户张三登录，来自10.0.0.1", "用户\xff登录，来自1", "用户登录"}},
	{"letters", `^(\pL+) (\p{Lu}\w*) ([а-яё]+) (.)`, []string{"Größe Maß привет ж", "é X п \xff", "a b c d"}},
	{"fixed columns", `^(.{19}) (.{5}) (.{0,8}) (.*)$`, []string{javaLine, "2025-03-14 09:26:5é ÄÖÜßx abc", "short"}},
	{"word ends", `\b\w+\b (\w+)\B`, []string{"ab cd", "a-b cde", "éa b"}},
	{"lines", `(?m)^(\w+): (.*)$`, []string{"a\nb: c\nd: e", "b:c\n", "x\ny: "}},
	{"dot all", `(?s)^(\w+).*?\n(.*)end`, []string{"a b\nc\nd end end", "a", "a\nen"}},
	{"ungreedy flag", `(?U)(\w+) (.*) (\S+)`, []string{"ab cd ef gh"}},
	{"counts", `^(\d{1,3}){2,3}x(a|b){0,2}c{3,}?(c*)`, []string{"1234567xabccccc", "12xccc", "1xcc", "123456789xbaccc"}},
	{"nullable loop", `^(a*|b)*c`, []string{"aabac", "c", "aab"}},
}
