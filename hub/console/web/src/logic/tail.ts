// The lines the page holds: bounded, and standing still while somebody reads.

import type { Row } from "./record";

export class TailBuffer {
	/**
	 * The newest last. Replaced, never changed, so that a view can compare it. Lines that arrive
	 * come in by show alone: what is here is what is on the screen, and a pause holds exactly that.
	 */
	rows: readonly Row[] = [];
	/** Lines that wait to be shown: until the next show, or for as long as the buffer is paused. */
	waiting: Row[] = [];
	/** Lines that came while paused and no longer fit. */
	overflowed = 0;
	/** Lines the hub could not send in time. */
	dropped = 0;
	/** True if older lines exist that were cut off to stay within the limit. */
	trimmed = false;
	paused = false;
	private readonly keys = new Set<string>();

	constructor(readonly limit = 5000) {}

	/**
	 * Replaces everything with the answer to a query, given newest first. A record that was there
	 * before stays the same row, so that it stays open if somebody has opened it.
	 */
	reset(newestFirst: readonly Row[]): void {
		const before = new Map(this.rows.map((row) => [row.key, row]));
		this.rows = newestFirst.slice(0, this.limit).map((row) => (row.key && before.get(row.key)) || row).reverse();
		this.waiting = [];
		this.overflowed = 0;
		this.dropped = 0;
		this.trimmed = newestFirst.length > this.limit;
		this.keys.clear();
		for (const row of this.rows) if (row.key) this.keys.add(row.key);
	}

	/** Takes lines that just arrived, oldest first. Returns how many were new. */
	append(rows: readonly Row[]): number {
		const fresh = rows.filter((row) => !row.key || !this.keys.has(row.key));
		for (const row of fresh) if (row.key) this.keys.add(row.key);
		if (fresh.length === 0) return 0;
		this.waiting.push(...fresh);
		const over = this.waiting.length - this.limit;
		if (over > 0 && this.paused) {
			this.forget(this.waiting.splice(0, over));
			this.overflowed += over;
		} else if (over > 0) {
			this.show(); // a page in the background is rarely asked to
		}
		return fresh.length;
	}

	/** Adds an older page, given newest first. Returns how many lines were added. */
	appendOlder(newestFirst: readonly Row[]): number {
		const room = this.limit - this.rows.length;
		const fresh = newestFirst.filter((row) => !row.key || !this.keys.has(row.key)).slice(0, Math.max(0, room));
		for (const row of fresh) if (row.key) this.keys.add(row.key);
		if (fresh.length > 0) this.rows = [...fresh.slice().reverse(), ...this.rows];
		return fresh.length;
	}

	/** Lines that arrived while paused, whether or not they still fit. */
	get waitingCount(): number {
		return this.waiting.length + this.overflowed;
	}

	pause(): void {
		this.paused = true;
	}

	/** Shows what waited and moves on. */
	resume(): void {
		this.paused = false;
		// After more lines than fit, the older ones no longer connect to what waited.
		if (this.overflowed > 0) {
			this.forget(this.rows);
			this.rows = [];
			this.trimmed = true;
		}
		this.dropped += this.overflowed;
		this.overflowed = 0;
		this.show();
	}

	/** Moves what waits to where it is seen, unless paused. */
	show(): void {
		if (this.paused || this.waiting.length === 0) return;
		const rows = this.rows.concat(this.waiting);
		this.waiting = [];
		const over = rows.length - this.limit;
		if (over > 0) {
			this.forget(rows.splice(0, over));
			this.trimmed = true;
		}
		this.rows = rows;
	}

	private forget(rows: readonly Row[]): void {
		for (const row of rows) if (row.key) this.keys.delete(row.key);
	}
}
