// The page: what is asked, and where each part gets its answers.

import { useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import * as api from "./api";
import { Feed } from "./feed";
import { count } from "./logic/format";
import { type View, fromHash, toHash } from "./logic/hash";
import { type Filter, forHub, searchWords, split, toggleFilter } from "./logic/query";
import { type Range, bounds, stepFor, stepText } from "./logic/range";
import type { Row } from "./logic/record";
import { bestGroup } from "./logic/series";
import { Details } from "./ui/details";
import { Facets } from "./ui/facets";
import { Histogram } from "./ui/histogram";
import { useDismiss, usePoll } from "./ui/hooks";
import { LedgerLine, LedgerPanel } from "./ui/ledger";
import { LogList } from "./ui/loglist";
import { Failed, Help, NoLogsYet, NoMatch, SignedOut } from "./ui/states";
import { Connection, LiveButton, QueryBox, RangePicker, StoreSelect } from "./ui/topbar";

const barsMax = 90;

/** The view lives in the address; Back and Forward work. */
function useView(): [View, (part: Partial<View>) => void] {
	const [view, set] = useState<View>(() => fromHash(location.hash));
	useEffect(() => {
		const read = (): void => set(fromHash(location.hash));
		addEventListener("popstate", read);
		return () => removeEventListener("popstate", read);
	}, []);
	const change = useCallback((part: Partial<View>) => {
		set((was) => {
			const next = { ...was, ...part };
			if (next.range.kind === "fixed") next.live = false;
			const hash = toHash(next);
			if (hash !== toHash(was)) history.pushState(null, "", hash === "#" ? location.pathname : hash);
			return next;
		});
	}, []);
	return [view, change];
}

/** The grouping of the bars: chosen once for each question, so that colours do not jump. */
function useSteadyGroup(facets: api.Facet[] | null, stale: boolean, question: string): string {
	const chosen = useRef({ question: "", field: "" });
	if (facets && !stale && (chosen.current.question !== question || chosen.current.field === "")) chosen.current = { question, field: bestGroup(facets) };
	return chosen.current.field;
}

function useFeed(): Feed {
	const [, render] = useReducer((n: number) => n + 1, 0);
	const feed = useRef<Feed | null>(null);
	const timer = useRef(0);
	// Lines come to the screen a batch at a time, and only here: whoever holds the feed in between
	// holds what is seen. A timer rather than an animation frame, so that a page in the background
	// keeps up too.
	feed.current ??= new Feed((when) => {
		if (when === "now") return render(0);
		timer.current ||= window.setTimeout(() => {
			timer.current = 0;
			feed.current!.show();
			render(0);
		}, 30);
	});
	useEffect(() => () => {
		clearTimeout(timer.current);
		feed.current?.stop();
	}, []);
	return feed.current;
}

export function App() {
	const [view, change] = useView();
	const feed = useFeed();
	const [asked, ask] = useReducer((n: number) => n + 1, 0);
	const [resumed, moveOn] = useReducer((n: number) => n + 1, 0);
	const [panel, setPanel] = useState<"" | "ledger" | "help">("");
	const [group, setGroup] = useState<string | null>(null);
	const helpBox = useDismiss(panel === "help", () => setPanel(""));

	const slash = view.store.indexOf("/");
	const scope = useMemo<api.Scope>(
		() => ({ project: view.store.slice(0, Math.max(0, slash)), logstore: view.store.slice(slash + 1), query: forHub(view.query) }),
		[view.store, view.query],
	);
	const question = JSON.stringify([scope, view.range, asked]);
	// Before the next frame: until the answer is there, the lines on the screen are
	// those of the last question, and must look it.
	useLayoutEffect(() => feed.start({ question, scope, range: view.range, live: view.live }), [question, view.live]);

	const { state, buffer } = feed;
	const stale = state.loading || state.question !== question;
	const moving = view.live && !buffer.paused;
	const window = (): api.Window => (view.live ? bounds(view.range, Date.now()) : view.range.kind === "fixed" ? view.range : feed.state.window.end > 0 ? feed.state.window : bounds(view.range, Date.now()));

	const ledger = usePoll(api.ledger, "ledger", 2000);
	const stores = usePoll(api.logstores, "stores", 10_000);
	const status = usePoll(api.status, "status", 60_000);
	// A question that the hub did not answer is asked again as soon as it answers anything.
	useEffect(() => {
		if (state.error?.status === 0 && ledger.data && !ledger.error) ask(0);
	}, [ledger.data]);
	const facets = usePoll((signal) => api.facets(scope, window(), 10, signal), question, moving ? 8000 : 0);
	const fields = (facets.data ?? []).map((f) => f.field);
	const steady = useSteadyGroup(facets.data, facets.fresh, question);
	const shownGroup = group ?? steady;
	const hits = usePoll(async (signal) => {
		const w = window();
		const step = stepFor(w.start, w.end, barsMax);
		return { ...w, step, field: shownGroup, hits: await api.hits(scope, w, stepText(step), shownGroup, signal) };
	}, `${question} ${shownGroup}`, moving ? 2500 : 0);

	const { filters, rest } = split(view.query);
	const words = useMemo(() => searchWords(view.query), [view.query]);
	const toggle = useCallback((f: Filter) => change({ query: toggleFilter(view.query, f) }), [view.query]);
	const setRange = useCallback((range: Range) => change({ range, ...(range.kind === "last" ? { live: true } : {}) }), []);
	const reading = useCallback((on: boolean) => (on ? feed.pause() : feed.resume()), [feed]);
	const run = useCallback((query: string) => {
		change({ query });
		ask(0);
	}, []);
	useKeys({
		"/": () => document.getElementById("query")?.focus(),
		"?": () => setPanel((p) => (p === "help" ? "" : "help")),
		l: () => (view.range.kind === "fixed" ? change({ range: { kind: "last", minutes: 15 }, live: true }) : change({ live: !view.live })),
		g: () => moveOn(0),
		b: () => setPanel((p) => (p === "ledger" ? "" : "ledger")),
		j: () => document.getElementById("lines")?.focus(),
		Escape: () => (document.activeElement as HTMLElement | null)?.blur(),
	});

	if ([state.error, ledger.error, stores.error].some((e) => e?.status === 401)) return <SignedOut />;

	const badQuery = state.error?.status === 400 ? state.error.message : "";
	const questionOnly = JSON.stringify(scope);
	const totals = ledger.data?.totals;
	const anything = (stores.data ?? []).length > 0 || (totals?.read_records ?? 0) > 0;
	const empty = !stale && buffer.rows.length === 0;
	const files = facets.data?.find((f) => f.field === "__path__")?.values.length ?? 2;
	return (
		<>
			<header class="top">
				<h1><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M2 4h12M2 8h8M2 12h5" /><circle cx="12.5" cy="12" r="1.8" /></svg>wasmtail</h1>
				<LedgerLine ledger={ledger} open={panel === "ledger"} onToggle={() => setPanel(panel === "ledger" ? "" : "ledger")} />
				<Connection feed={state} paused={buffer.paused} reachable={ledger.error?.status !== 0 && state.error?.status !== 0} status={status.data} />
				{panel === "ledger" && ledger.data && (
					<LedgerPanel ledger={ledger.data} onClose={() => setPanel("")} onFile={(path) => { setPanel(""); if (!filters.some((f) => f.field === "__path__" && f.value === path)) toggle({ field: "__path__", value: path, exclude: false }); }} />
				)}
			</header>
			<div class="ask">
				<StoreSelect stores={stores.data ?? []} value={view.store} onChange={(store) => change({ store })} />
				<QueryBox query={view.query} error={badQuery} onRun={run} helpOpen={panel === "help"} onHelp={() => setPanel(panel === "help" ? "" : "help")} />
				<RangePicker range={view.range} onChange={setRange} />
				<LiveButton live={view.live} onToggle={() => (view.range.kind === "fixed" ? setRange({ kind: "last", minutes: 15 }) : change({ live: !view.live }))} />
				{panel === "help" && <Help boxRef={helpBox} onClose={() => setPanel("")} onTry={(q) => { setPanel(""); run(q); }} />}
			</div>
			<div class="body">
				<Facets facets={facets.data} problem={facets.error && !badQuery ? facets.error.message : badQuery ? "\u00a0" : ""} question={questionOnly} filters={filters} stale={facets.fresh} onToggle={toggle} />
				<main>
					<Histogram
						hits={hits.data?.hits ?? null}
						start={hits.data?.start ?? state.window.start}
						end={hits.data?.end ?? state.window.end}
						step={hits.data?.step ?? 10_000}
						field={hits.data?.field ?? ""}
						choices={fields.filter((f) => !f.startsWith("__wt"))}
						onField={setGroup}
						onSelect={(start, end) => change({ range: { kind: "fixed", start, end } })}
						stale={hits.fresh}
						problem={hits.error && hits.error.status !== 0 && !badQuery ? hits.error.message : ""}
					/>
					<div class={`lines${stale ? " stale" : ""}`}>
						<LogList
							rows={buffer.rows}
							words={words}
							chipFields={fields}
							showFile={files > 1}
							question={question}
							resumed={resumed}
							onReading={reading}
							onBottom={() => void feed.loadOlder()}
							details={(row: Row) => <Details row={row} project={scope.project} filters={filters} onToggle={toggle} />}
							footer={<Footer shown={!empty} loading={state.loadingMore} more={state.more} full={buffer.trimmed || buffer.rows.length >= buffer.limit} limit={buffer.limit} />}
						/>
						<Pill live={view.live} paused={buffer.paused} waiting={buffer.waitingCount} dropped={buffer.dropped} onResume={() => moveOn(0)} onReload={() => ask(0)} note={state.link === "refused" ? state.linkNote : ""} />
						{empty && state.error && !badQuery && <Failed title={state.error.status === 0 ? "The hub does not answer" : "The hub could not answer"} message={state.error.message} onRetry={() => ask(0)} />}
						{empty && badQuery && <div class="card none"><h2>The query could not be read</h2></div>}
						{empty && !state.error && stores.data && (anything
							? <NoMatch range={view.range} filters={filters} hasQuery={view.query !== ""} stores={stores.data.filter((s) => view.store === "" || `${s.project}/${s.logstore}` === view.store)} onRange={setRange} onToggle={toggle} onClear={() => run("")} />
							: <NoLogsYet project={status.data?.default_project ?? "default"} />)}
					</div>
				</main>
			</div>
			<div class="sr" aria-live="polite">{rest && !stale ? `${count(buffer.rows.length)} lines loaded` : ""}</div>
		</>
	);
}

function Footer({ shown, loading, more, full, limit }: { shown: boolean; loading: boolean; more: boolean; full: boolean; limit: number }) {
	if (!shown) return null;
	return <p class="end">{full ? `The newest ${count(limit)} lines are kept here. Choose an earlier time range to see older ones.` : loading ? "Loading older lines…" : more ? "\u00a0" : "These are all."}</p>;
}

function Pill({ live, paused, waiting, dropped, note, onResume, onReload }: { live: boolean; paused: boolean; waiting: number; dropped: number; note: string; onResume: () => void; onReload: () => void }) {
	return (
		<div class="pills" aria-live="polite">
			{live && paused && (
				<button type="button" class="pill" onClick={onResume}>
					{waiting > 0 ? <><b>{count(waiting)}</b> new {waiting === 1 ? "line" : "lines"} — resume</> : "Paused — resume"}
				</button>
			)}
			{dropped > 0 && <button type="button" class="pill warn" title="The store has them all. Running the query again shows the newest." onClick={onReload}>{count(dropped)} lines came too fast to show — reload</button>}
			{note && <span class="pill warn" title={note}>This query cannot be followed live</span>}
		</div>
	);
}

// Keys for the whole page, while nobody types.
function useKeys(keys: Record<string, () => void>): void {
	const latest = useRef(keys);
	latest.current = keys;
	useEffect(() => {
		const press = (e: KeyboardEvent): void => {
			const at = e.target as HTMLElement;
			if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName)) return;
			const action = latest.current[e.key];
			if (!action) return;
			e.preventDefault();
			action();
		};
		document.addEventListener("keydown", press);
		return () => document.removeEventListener("keydown", press);
	}, []);
}
