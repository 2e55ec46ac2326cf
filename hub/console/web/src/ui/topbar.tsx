import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Logstore, Status } from "../api";
import type { FeedState } from "../feed";
import { ago, count, shortCount, stamp } from "../logic/format";
import { type Filter, join, quote, sameFilter, split } from "../logic/query";
import { type Range, bounds, parseMoment, presets } from "../logic/range";
import { displayName } from "./facets";
import { useDismiss } from "./hooks";
import { LogText, shown } from "./text";

export function Connection({ feed, paused, reachable, status }: { feed: FeedState; paused: boolean; reachable: boolean; status: Status | null }) {
	let tone = "off";
	let text = "not following";
	if (!reachable) [tone, text] = ["bad", "hub does not answer"];
	else if (feed.link === "lost") [tone, text] = ["warn", "tail interrupted"];
	else if (feed.link === "refused") [tone, text] = ["warn", "cannot follow"];
	else if (feed.link === "connecting") [tone, text] = ["off", "connecting"];
	else if (feed.link === "live") [tone, text] = paused ? ["off", "paused"] : ["live", "live"];
	const about = status ? `wasmtail-hub ${status.version}, ${status.store} store` : "";
	return (
		<span class={`conn ${tone}`} title={[feed.linkNote, about].filter(Boolean).join("\n")} role="status">
			<i aria-hidden="true" />
			{text}
			{status && <span class="version">{status.version}</span>}
		</span>
	);
}

export function StoreSelect({ stores, value, onChange }: { stores: Logstore[]; value: string; onChange: (v: string) => void }) {
	const projects = new Set(stores.map((s) => s.project));
	const known = value === "" || stores.some((s) => `${s.project}/${s.logstore}` === value);
	return (
		<select class="field store" aria-label="Logstore" value={value} onChange={(e) => onChange(e.currentTarget.value)}>
			<option value="">all logstores</option>
			{!known && <option value={value}>{value.slice(value.indexOf("/") + 1)}</option>}
			{stores.map((s) => {
				const id = `${s.project}/${s.logstore}`;
				return (
					<option key={id} value={id} title={`${count(s.records)} lines, last ${ago(Date.parse(s.last), Date.now())}`}>
						{projects.size > 1 ? id : s.logstore} ({shortCount(s.records)})
					</option>
				);
			})}
		</select>
	);
}

interface QueryBoxProps {
	query: string;
	error: string;
	onRun: (query: string) => void;
	helpOpen: boolean;
	onHelp: () => void;
}

/** The query: its filters as chips, the rest as text. Enter runs it. */
export function QueryBox({ query, error, onRun, helpOpen, onHelp }: QueryBoxProps) {
	const parts = split(query);
	const [draft, setDraft] = useState(parts.rest);
	const [hidden, setHidden] = useState(false);
	const input = useRef<HTMLInputElement>(null);
	// Before the browser paints, so that chips and text are never those of two queries.
	useLayoutEffect(() => setDraft(split(query).rest), [query]);
	useEffect(() => setHidden(false), [error, query]);
	const run = (rest: string): void => onRun(join(split(join({ filters: parts.filters, rest }))));
	const without = (f: Filter): void => onRun(join({ filters: parts.filters.filter((g) => !sameFilter(f, g)), rest: draft }));
	return (
		<form
			class={`query${error ? " bad" : ""}${draft !== parts.rest ? " typing" : ""}`}
			role="search"
			onSubmit={(e) => {
				e.preventDefault();
				setHidden(false);
				run(draft);
			}}
			onClick={(e) => e.target === e.currentTarget && input.current?.focus()}
		>
			<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3.5 3.5" /></svg>
			{parts.filters.map((f) => (
				<span key={`${f.exclude}${f.field}=${f.value}`} class={`chip filter${f.exclude ? " not" : ""}`} title={`${f.exclude ? "not " : ""}${f.field} = ${shown(f.value)}`}>
					<b>{displayName(f.field)}</b>
					<em>{f.exclude ? "≠" : "="}</em>
					<span class="v">{f.value === "" ? "(empty)" : <LogText text={f.value} />}</span>
					<button type="button" aria-label={`Remove filter ${f.field} ${f.exclude ? "is not" : "is"} ${f.value}`} onClick={() => without(f)}>×</button>
				</span>
			))}
			<input
				ref={input}
				id="query"
				value={draft}
				aria-label="Query"
				aria-invalid={error !== ""}
				aria-describedby={error ? "query-error" : undefined}
				placeholder={parts.filters.length > 0 ? "and…" : 'Search: words, "a phrase", field:value'}
				spellcheck={false}
				autocomplete="off"
				autocapitalize="off"
				onInput={(e) => setDraft(e.currentTarget.value)}
				onKeyDown={(e) => {
					const at = e.currentTarget;
					const last = parts.filters[parts.filters.length - 1];
					if (e.key === "Backspace" && last && at.selectionStart === 0 && at.selectionEnd === 0) {
						e.preventDefault();
						without(last);
					} else if (e.key === "Escape") {
						if (draft !== parts.rest) setDraft(parts.rest);
						else at.blur();
					}
				}}
			/>
			<span class="tail">
			{draft !== parts.rest && <kbd aria-hidden="true">↵</kbd>}
			{(query !== "" || draft !== "") && (
				<button type="button" class="quiet" aria-label="Clear the query" title="Clear" onClick={() => { setDraft(""); onRun(""); input.current?.focus(); }}>×</button>
			)}
			<button type="button" class="quiet" aria-label="Query syntax and keys" aria-haspopup="dialog" aria-expanded={helpOpen} title="Query syntax and keys" onClick={onHelp}>?</button>
			</span>
			{error !== "" && !hidden && (
				<div class="query-error" id="query-error" role="alert">
					<p>{error}</p>
					{draft.trim() !== "" && !draft.trim().startsWith('"') && (
						<button type="button" class="link" onClick={() => { const q = quote(draft.trim()); setDraft(q); run(q); }}>Search for exactly this text</button>
					)}
					<button type="button" class="quiet" aria-label="Hide" onClick={() => setHidden(true)}>×</button>
				</div>
			)}
		</form>
	);
}

export function RangePicker({ range, onChange }: { range: Range; onChange: (r: Range) => void }) {
	const [open, setOpen] = useState(false);
	const button = useRef<HTMLButtonElement>(null);
	// The focus was in the pop-up; it goes back to what opened it, unless it has gone elsewhere.
	const close = (): void => {
		if (box.current?.contains(document.activeElement)) button.current?.focus();
		setOpen(false);
	};
	const box = useDismiss(open, close);
	const fixed = range.kind === "fixed";
	return (
		<div class="range" ref={box}>
			<div class="segments" role="group" aria-label="Time range">
				{presets.map((p) => (
					<button
						key={p.minutes}
						type="button"
						aria-pressed={range.kind === "last" && range.minutes === p.minutes}
						title={`Last ${p.long}`}
						onClick={() => { setOpen(false); onChange({ kind: "last", minutes: p.minutes }); }}
					>
						{p.label}
					</button>
				))}
				<button ref={button} type="button" class="custom" aria-pressed={fixed} aria-expanded={open} aria-haspopup="dialog" onClick={() => setOpen(!open)} title="Choose start and end">
					{fixed ? <span>{shortSpan(range)}</span> : "Custom"}
				</button>
			</div>
			{open && <CustomRange range={range} onApply={(r) => { close(); onChange(r); }} />}
		</div>
	);
}

function shortSpan(r: { start: number; end: number }): string {
	const seconds = r.end - r.start < 600_000;
	const a = stamp(r.start, seconds);
	const b = stamp(r.end, seconds);
	const today = stamp(Date.now(), false).slice(0, 10);
	const from = a.startsWith(today) ? a.slice(11) : a.slice(5);
	return `${from} – ${a.slice(0, 10) === b.slice(0, 10) ? b.slice(11) : b.slice(5)}`;
}

function CustomRange({ range, onApply }: { range: Range; onApply: (r: Range) => void }) {
	const now = Date.now();
	const at = bounds(range, now);
	const [from, setFrom] = useState(stamp(at.start));
	const [to, setTo] = useState(stamp(at.end));
	const start = parseMoment(from, now);
	const end = parseMoment(to, now);
	const problem = Number.isNaN(start) ? "The start cannot be read." : Number.isNaN(end) ? "The end cannot be read." : start >= end ? "The start must be before the end." : "";
	return (
		<div class="pop custom-range" role="dialog" aria-label="Custom time range">
			<form onSubmit={(e) => { e.preventDefault(); if (!problem) onApply({ kind: "fixed", start, end }); }}>
				<label>From<input class="field" value={from} onInput={(e) => setFrom(e.currentTarget.value)} ref={(el) => { if (el && !el.dataset["seen"]) { el.dataset["seen"] = "1"; el.focus(); el.select(); } }} /></label>
				<label>To<input class="field" value={to} onInput={(e) => setTo(e.currentTarget.value)} /></label>
				<p class={problem ? "problem" : "hint"}>{problem || "Local time, RFC 3339, unix seconds, -2h or now."}</p>
				<button type="submit" class="primary" disabled={problem !== ""}>Apply</button>
			</form>
		</div>
	);
}

export function LiveButton({ live, onToggle }: { live: boolean; onToggle: () => void }) {
	return (
		<button type="button" class="live-button" aria-pressed={live} onClick={onToggle} title={live ? "Stop following new lines (l)" : "Follow new lines (l)"}>
			<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">{live ? <path d="M5 3.5v9M11 3.5v9" /> : <path d="m5 3 8 5-8 5z" />}</svg>
			Live
		</button>
	);
}
