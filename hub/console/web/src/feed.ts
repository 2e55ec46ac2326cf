// The feed behind the list: one query for what is there, one tail for what comes,
// older pages on demand. It knows nothing of the page that shows it.

import * as api from "./api";
import { type Range, bounds } from "./logic/range";
import { type Row, toRow } from "./logic/record";
import { TailBuffer } from "./logic/tail";

/** off: not following. refused: this query cannot be followed. */
export type Link = "off" | "connecting" | "live" | "lost" | "refused";

export interface FeedState {
	/** The question that was asked last. */
	question: string;
	/** True until the lines are those of that question. */
	loading: boolean;
	error: api.ApiError | null;
	link: Link;
	/** Why the tail is refused or lost. */
	linkNote: string;
	/** The window the query asked for. */
	window: api.Window;
	/** True while older lines may exist that are not loaded. */
	more: boolean;
	loadingMore: boolean;
}

const pageSize = 200;
const refillLimit = 1000;
const retryMax = 15_000;

export class Feed {
	readonly buffer = new TailBuffer();
	state: FeedState = { question: "", loading: true, error: null, link: "off", linkNote: "", window: { start: 0, end: 0 }, more: false, loadingMore: false };
	private run = new AbortController();
	private scope: api.Scope = { project: "", logstore: "", query: "" };
	private pages = 1;

	/** changed is told when the page should show the feed again; soon when lines wait for show. */
	constructor(private readonly changed: (when: "now" | "soon") => void) {}

	private set(part: Partial<FeedState>): void {
		this.state = { ...this.state, ...part };
		this.changed("now");
	}

	/** Asks anew. The lines of the last question stay until the answer is there. */
	start({ question, scope, range, live }: { question: string; scope: api.Scope; range: Range; live: boolean }): void {
		this.stop();
		this.run = new AbortController();
		const { signal } = this.run;
		this.scope = scope;
		this.pages = 1;
		const window = bounds(range, Date.now());
		this.set({ question, loading: true, error: null, window, more: false, loadingMore: false, link: live ? "connecting" : "off", linkNote: "" });
		// What the tail brings before the query has answered waits, so that nothing between the two is missed.
		let early: Row[] | null = [];
		if (live) {
			void this.follow(signal, (rows) => {
				if (early) early.push(...rows);
				else this.arrived(rows);
			});
		}
		api.query(scope, window, pageSize, 0, signal).then(
			(records) => {
				if (signal.aborted) return;
				this.buffer.reset(records.map(toRow));
				const waiting = early ?? [];
				early = null;
				this.buffer.append(withoutRepeats(waiting, this.buffer.rows));
				this.buffer.show();
				this.set({ loading: false, more: records.length >= pageSize });
			},
			(e: unknown) => {
				if (signal.aborted) return;
				this.run.abort();
				this.buffer.reset([]);
				this.set({ loading: false, error: asApiError(e), link: "off" });
			},
		);
	}

	stop(): void {
		this.run.abort();
	}

	/** Loads the next older page, if there is one and room for it. */
	async loadOlder(): Promise<void> {
		const { state, buffer } = this;
		if (state.loading || state.loadingMore || !state.more || buffer.rows.length >= buffer.limit) return;
		const { signal } = this.run;
		this.set({ loadingMore: true });
		try {
			const records = await api.query(this.scope, state.window, pageSize, pageSize * this.pages, signal);
			if (signal.aborted) return;
			this.pages++;
			buffer.appendOlder(records.map(toRow));
			this.set({ loadingMore: false, more: records.length >= pageSize });
		} catch {
			// The list says that there is more; scrolling asks again.
			if (!signal.aborted) this.set({ loadingMore: false });
		}
	}

	pause(): void {
		if (this.buffer.paused) return;
		this.buffer.pause();
		this.changed("now");
	}

	resume(): void {
		if (!this.buffer.paused) return;
		this.buffer.resume();
		this.changed("now");
	}

	/** Brings lines that have arrived to the screen; the caller renders it. */
	show(): void {
		this.buffer.show();
	}

	private arrived(rows: Row[]): void {
		if (this.buffer.append(rows) > 0) this.changed("soon");
	}

	// Keeps a tail open until the signal ends it. After a break it fetches what came meanwhile.
	private async follow(signal: AbortSignal, arrived: (rows: Row[]) => void): Promise<void> {
		let retry = 1000;
		let broken = 0;
		while (!signal.aborted) {
			try {
				await api.tail(this.scope, {
					open: () => {
						retry = 1000;
						this.set({ link: "live", linkNote: "" });
						if (broken) void this.refill(broken, signal, arrived);
						broken = 0;
					},
					logs: (records) => {
						if (!signal.aborted) arrived(records.map(toRow));
					},
					dropped: (count) => {
						this.buffer.dropped += count;
						this.changed("soon");
					},
				}, signal);
			} catch (e) {
				if (signal.aborted) return;
				if (e instanceof api.ApiError && e.status >= 400 && e.status < 500 && e.status !== 429) {
					this.set({ link: "refused", linkNote: e.message });
					return;
				}
			}
			if (signal.aborted) return;
			broken ||= Date.now();
			this.set({ link: "lost", linkNote: `Trying again in ${Math.round(retry / 1000)} s.` });
			await pause(retry, signal);
			retry = Math.min(retry * 2, retryMax);
		}
	}

	private async refill(since: number, signal: AbortSignal, arrived: (rows: Row[]) => void): Promise<void> {
		try {
			const window = { start: since - 15_000, end: Date.now() };
			const records = await api.query(this.scope, window, refillLimit, 0, signal);
			if (signal.aborted) return;
			const known = this.buffer.rows.concat(this.buffer.waiting);
			arrived(withoutRepeats(records.map(toRow).reverse(), known));
		} catch {
			// The next run of the query shows them.
		}
	}
}

// Leaves out rows that are already known; those without a key are told apart by time and text.
function withoutRepeats(rows: Row[], known: readonly Row[]): Row[] {
	if (rows.length === 0) return rows;
	const seen = new Set(known.filter((r) => !r.key).map(plainKey));
	return rows.filter((r) => r.key || !seen.has(plainKey(r)));
}

function plainKey(r: Row): string {
	return `${r.fields["_time"]}\n${r.fields["_stream"] ?? ""}\n${r.fields["_msg"]}`;
}

function asApiError(e: unknown): api.ApiError {
	return e instanceof api.ApiError ? e : new api.ApiError(0, "Unreadable", "The hub's answer could not be read.");
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		const end = (): void => {
			clearTimeout(timer);
			signal.removeEventListener("abort", end);
			resolve();
		};
		const timer = setTimeout(end, ms);
		signal.addEventListener("abort", end);
	});
}
