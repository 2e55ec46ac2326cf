// The ledger: what was read against what became of it.

export interface Totals {
	read_records: number;
	parsed: number;
	failed: number;
	filtered: number;
	stored: number;
	repeated: number;
	read_bytes: number;
	missing_bytes: number;
}

export type Span = [number, number];

export interface Generation {
	agent: string;
	hostname: string;
	pipeline: string;
	project: string;
	logstore: string;
	path: string;
	generation: string;
	read_bytes: number;
	ranges: Span[] | null;
	missing: Span[] | null;
	parsed: number;
	failed: number;
	filtered: number;
	stored: number;
	repeated_batches: number;
	first: string;
	last: string;
}

export interface Ledger {
	totals: Totals;
	generations: Generation[] | null;
}

/** ok: every line is accounted for. flight: some are on their way. lost: bytes are missing between received ones. */
export type Verdict = "empty" | "ok" | "flight" | "lost";

export function verdict(t: Totals): Verdict {
	if (t.missing_bytes > 0) return "lost";
	if (t.read_records === 0) return "empty";
	const settled = t.parsed + t.failed + t.filtered;
	return settled === t.read_records && t.stored + t.filtered >= t.read_records ? "ok" : "flight";
}

/** Lines that were read but are not stored yet. */
export function inFlight(t: Totals): number {
	return Math.max(0, t.read_records - t.filtered - t.stored);
}

/** "1,024–2,048": end exclusive, as the agent counts. */
export function spanText([start, end]: Span): string {
	return `${start.toLocaleString("en-US")}–${end.toLocaleString("en-US")}`;
}

/** Parts of a coverage strip: each with its share of the file, in order. */
export function coverage(g: Generation): { kind: "read" | "missing" | "before"; share: number }[] {
	const spans = [
		...(g.ranges ?? []).map((s) => ({ kind: "read" as const, start: s[0], end: s[1] })),
		...(g.missing ?? []).map((s) => ({ kind: "missing" as const, start: s[0], end: s[1] })),
	].sort((a, b) => a.start - b.start);
	const end = spans.reduce((max, s) => Math.max(max, s.end), 0);
	if (end === 0) return [];
	const out: { kind: "read" | "missing" | "before"; share: number }[] = [];
	let at = 0;
	for (const s of spans) {
		if (s.start > at) out.push({ kind: "before", share: (s.start - at) / end });
		const from = Math.max(at, s.start);
		if (s.end > from) out.push({ kind: s.kind, share: (s.end - from) / end });
		at = Math.max(at, s.end);
	}
	return out;
}

/** The generations with losses first, then the most recently heard of. */
export function worstFirst(generations: readonly Generation[]): Generation[] {
	const missing = (g: Generation): number => (g.missing ?? []).reduce((n, [a, b]) => n + b - a, 0);
	return [...generations].sort((a, b) => missing(b) - missing(a) || (b.last < a.last ? -1 : b.last > a.last ? 1 : 0));
}
