import type { Logstore } from "../api";
import { ago } from "../logic/format";
import { type Filter, clause } from "../logic/query";
import { type Range, describe } from "../logic/range";

/** Shown instead of the page when there is no session. */
export function SignedOut() {
	return (
		<main class="card signed-out">
			<h1>Sign in</h1>
			<p>This console opens with a one-time link. The hub prints it on its terminal, or in its journal, when it starts:</p>
			<pre>{`${location.origin}/login?token=…`}</pre>
			<ol>
				<li>Find the line in the hub's output and open the link in this browser.</li>
				<li>Each link works once. If it has been used, or your session has ended, take the next one from the hub's <code>--login-token-file</code>, or restart the hub. Nothing that was collected is lost.</li>
			</ol>
			<p><button type="button" class="primary" onClick={() => location.assign("/")}>Try again</button></p>
		</main>
	);
}

const configuration = (project: string): string => `version: 1
data_dir: ./state

outputs:
  hub:
    type: logservice
    endpoint: ${location.origin}
    region: local
    project: ${project}
    access_key_id: \${env:WASMTAIL_KEY_ID}
    access_key_secret: \${env:WASMTAIL_KEY_SECRET}

pipelines:
  system:
    input:
      type: files
      include: ["/var/log/*.log"]
    outputs: [hub]
    logstore: system`;

/** Nothing has ever arrived: how to make it so. */
export function NoLogsYet({ project }: { project: string }) {
	return (
		<div class="card teach">
			<h2>No logs yet</h2>
			<p>The hub is ready. Start an agent on the machine that has the log files:</p>
			<ol>
				<li>
					Save this as <code>wasmtail.yaml</code>:
					<pre>{configuration(project)}</pre>
				</li>
				<li>Put an access key that the hub knows into <code>WASMTAIL_KEY_ID</code> and <code>WASMTAIL_KEY_SECRET</code>.</li>
				<li>
					Check it, then run it:
					<pre>{"wasmtail check -c wasmtail.yaml\nwasmtail run -c wasmtail.yaml"}</pre>
				</li>
			</ol>
			<p class="hint">Lines appear here by themselves as soon as the first batch arrives. The hub also takes logs from Alibaba Cloud Log Service clients.</p>
		</div>
	);
}

interface NoMatchProps {
	range: Range;
	filters: Filter[];
	hasQuery: boolean;
	stores: Logstore[];
	onRange: (r: Range) => void;
	onToggle: (f: Filter) => void;
	onClear: () => void;
}

/** There are logs, but not for this question: the ways out. */
export function NoMatch({ range, filters, hasQuery, stores, onRange, onToggle, onClear }: NoMatchProps) {
	const last = Math.max(0, ...stores.map((s) => Date.parse(s.last) || 0));
	const wider = range.kind === "last" ? [60, 1440].filter((m) => m > range.minutes) : [];
	return (
		<div class="card none">
			<h2>No lines in {describe(range)}{hasQuery ? " match" : ""}</h2>
			<p class="ways">
				{wider.map((m) => <button key={m} type="button" onClick={() => onRange({ kind: "last", minutes: m })}>Look at the last {m === 60 ? "hour" : "24 hours"}</button>)}
				{last > 0 && !hasQuery && <button type="button" onClick={() => onRange({ kind: "fixed", start: last - 900_000, end: last + 1000 })}>Go to the newest line, {ago(last, Date.now())}</button>}
				{filters.map((f) => <button key={clause(f)} type="button" onClick={() => onToggle(f)}>Without {clause(f)}</button>)}
				{hasQuery && <button type="button" onClick={onClear}>Clear the query</button>}
			</p>
		</div>
	);
}

/** The hub refused or failed. */
export function Failed({ title, message, onRetry }: { title: string; message: string; onRetry: () => void }) {
	return (
		<div class="card none" role="alert">
			<h2>{title}</h2>
			<p>{message}</p>
			<p class="ways"><button type="button" onClick={onRetry}>Try again</button></p>
		</div>
	);
}

const syntax: [string, string][] = [
	["timeout", "lines with this word"],
	["conn refused", "lines with both words"],
	['"conn refused"', "lines with this phrase"],
	["time*", "words that start like this"],
	["i(timeout)", "the word in capital or small letters"],
	["error or panic", "either of them"],
	["-healthz", "not this word"],
	["status:500", "the field has this word"],
	['status:="500"', "the field is exactly this"],
	["status:>=500", "the field is a number this large"],
	['path:~"^/api/v[12]"', "the field matches this expression"],
	['user:=""', "the field is not there"],
];

const keys: [string, string][] = [
	["/", "go to the query"],
	["j k", "next and previous line"],
	["Enter", "open or close the line"],
	["g", "newest lines, follow them again"],
	["l", "follow new lines, or stop"],
	["b", "ledger"],
	["Esc", "close what is open"],
	["?", "this help"],
];

export function Help({ boxRef, onTry, onClose }: { boxRef: { current: HTMLDivElement | null }; onTry: (q: string) => void; onClose: () => void }) {
	return (
		<div class="pop help" role="dialog" aria-label="Query syntax and keys" ref={boxRef}>
			<button type="button" class="quiet close" aria-label="Close" onClick={onClose}>×</button>
			<section>
				<h2>Query</h2>
				<dl>{syntax.map(([q, what]) => <div key={q}><dt><button type="button" class="link mono" onClick={() => onTry(q)}>{q}</button></dt><dd>{what}</dd></div>)}</dl>
				<p class="hint">The language is LogsQL. Click a value at the left, or + and − in an open line, to build filters.</p>
			</section>
			<section>
				<h2>Keys</h2>
				<dl>{keys.map(([k, what]) => <div key={k}><dt>{k.split(" ").map((x) => <kbd key={x}>{x}</kbd>)}</dt><dd>{what}</dd></div>)}</dl>
			</section>
		</div>
	);
}
