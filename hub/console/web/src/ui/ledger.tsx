import type { Polled } from "./hooks";
import { useDismiss } from "./hooks";
import { bytes, count, duration } from "../logic/format";
import { type Generation, type Ledger, coverage, inFlight, spanText, verdict, worstFirst } from "../logic/ledger";
import { baseName } from "../logic/record";

/** The line that is always there: what was read, and what became of it. */
export function LedgerLine({ ledger, open, onToggle }: { ledger: Polled<Ledger>; open: boolean; onToggle: () => void }) {
	const t = ledger.data?.totals;
	if (!t) return <div class="ledger empty">{ledger.error ? "The ledger is out of reach." : "\u00a0"}</div>;
	const v = ledger.error ? "stale" : verdict(t);
	const waiting = inFlight(t);
	const missing = (ledger.data?.generations ?? []).flatMap((g) => g.missing ?? []);
	const say = {
		empty: "Nothing read yet",
		ok: "Every line that was read is accounted for",
		flight: `${count(waiting)} lines are on their way to the store`,
		lost: `${count(t.missing_bytes)} bytes did not arrive`,
		stale: "The hub does not answer; these are the last figures",
	}[v];
	return (
		<button type="button" class={`ledger ${v}`} aria-expanded={open} aria-haspopup="dialog" onClick={onToggle} title={`${say}. Click for each file.`} data-verdict={v}>
			<i aria-hidden="true" />
			<span class="sr">{say}. </span>
			<span class="sum">
				<Part name="read" n={t.read_records} strong />
				<s>=</s>
				<Part name="parsed" n={t.parsed} />
				<s>+</s>
				<Part name="failed" n={t.failed} tone={t.failed > 0 ? "failed" : ""} />
				<s>+</s>
				<Part name="filtered" n={t.filtered} />
				<s>{v === "flight" ? "→" : "="}</s>
				<Part name="stored" n={t.stored} strong />
				{t.filtered > 0 && <><s>+</s><Part name="filtered" n={t.filtered} /></>}
				<s>·</s>
				{t.missing_bytes > 0
					? <span class="part lost">lost <b>{bytes(t.missing_bytes)}</b> in {missing.length} {missing.length === 1 ? "range" : "ranges"}{missing[0] ? `: ${spanText(missing[0])}${missing.length > 1 ? "…" : ""}` : ""}</span>
					: <Part name="lost" n={0} />}
			</span>
		</button>
	);
}

function Part({ name, n, strong, tone }: { name: string; n: number; strong?: boolean; tone?: string }) {
	return <span class={`part ${tone ?? ""}`}>{name} {strong ? <b>{count(n)}</b> : <span class="n">{count(n)}</span>}</span>;
}

/** Each file generation with its share of the ledger. */
export function LedgerPanel({ ledger, onClose, onFile }: { ledger: Ledger; onClose: () => void; onFile: (path: string) => void }) {
	const box = useDismiss(true, onClose);
	const rows = worstFirst(ledger.generations ?? []);
	const t = ledger.totals;
	const now = Date.now();
	return (
		<div class="pop ledger-panel" role="dialog" aria-label="Ledger of every file" ref={box}>
			<header>
				<h2>Ledger</h2>
				<p>
					{count(rows.length)} {rows.length === 1 ? "file" : "files"} · {bytes(t.read_bytes)} read
					{t.repeated > 0 && <> · {count(t.repeated)} repeated batches recognised and not stored twice</>}
					{inFlight(t) > 0 && <> · {count(inFlight(t))} lines on their way</>}
				</p>
				<button type="button" class="quiet" aria-label="Close" onClick={onClose}>×</button>
			</header>
			{rows.length === 0
				? <p class="nothing">No agent has sent anything yet.</p>
				: <div class="scroll">
					<table>
						<thead>
							<tr><th>File</th><th>Host</th><th>Agent</th><th class="r">Read</th><th>Byte ranges</th><th class="r">Parsed</th><th class="r">Failed</th><th class="r">Filtered</th><th class="r">Stored</th><th class="r">Repeats</th><th class="r">Last</th></tr>
						</thead>
						<tbody>{rows.map((g) => <Line key={`${g.agent}/${g.generation}`} g={g} now={now} onFile={onFile} />)}</tbody>
					</table>
				</div>}
		</div>
	);
}

function Line({ g, now, onFile }: { g: Generation; now: number; onFile: (path: string) => void }) {
	const missing = g.missing ?? [];
	const ranges = g.ranges ?? [];
	const shown = ranges.slice(0, 3).map(spanText).join(", ");
	const last = Date.parse(g.last);
	return (
		<tr class={missing.length > 0 ? "lost" : ""}>
			<td class="file">
				<button type="button" class="link" title={`${g.path}\nShow only this file`} onClick={() => onFile(g.path)}>{baseName(g.path)}</button>
				<small title={g.path}>{g.path}</small>
			</td>
			<td>{g.hostname}<small>{g.logstore}</small></td>
			<td class="mono" title={`agent ${g.agent}\ngeneration ${g.generation}\npipeline ${g.pipeline}`}>{g.agent.slice(0, 8)}<small>{g.generation.slice(0, 8)}</small></td>
			<td class="r" title={`${count(g.read_bytes)} bytes`}>{bytes(g.read_bytes)}</td>
			<td class="spans">
				<span class="strip" aria-hidden="true">
					{coverage(g).map((c, i) => <i key={i} class={c.kind} style={{ flexGrow: Math.max(c.share, c.kind === "missing" ? 0.02 : 0) }} />)}
				</span>
				<small>{shown}{ranges.length > 3 && `, ${ranges.length - 3} more`}</small>
				{missing.length > 0 && <small class="missing">missing {missing.slice(0, 5).map(spanText).join(", ")}{missing.length > 5 && `, ${missing.length - 5} more`}</small>}
			</td>
			<td class="r">{count(g.parsed)}</td>
			<td class={`r${g.failed > 0 ? " failed" : ""}`}>{count(g.failed)}</td>
			<td class="r">{count(g.filtered)}</td>
			<td class="r">{count(g.stored)}</td>
			<td class="r">{count(g.repeated_batches)}</td>
			<td class="r" title={g.last}>{Number.isNaN(last) ? "" : now - last < 2000 ? "now" : duration(now - last)}</td>
		</tr>
	);
}

