// Time ranges: the last minutes up to now, or two fixed moments.

export type Range = { kind: "last"; minutes: number } | { kind: "fixed"; start: number; end: number };

export const presets: { minutes: number; label: string; long: string }[] = [
	{ minutes: 5, label: "5m", long: "5 minutes" },
	{ minutes: 15, label: "15m", long: "15 minutes" },
	{ minutes: 60, label: "1h", long: "hour" },
	{ minutes: 360, label: "6h", long: "6 hours" },
	{ minutes: 1440, label: "24h", long: "24 hours" },
];

/** The start and end of a range in ms, with "last" measured from now. */
export function bounds(range: Range, now: number): { start: number; end: number } {
	if (range.kind === "fixed") return { start: range.start, end: range.end };
	return { start: now - range.minutes * 60_000, end: now };
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400].map((s) => s * 1000);

/** The width of a histogram's bar in ms: a round one, so that at most `bars` fill the range. */
export function stepFor(start: number, end: number, bars: number): number {
	const want = (end - start) / Math.max(1, bars);
	return steps.find((s) => s >= want) ?? steps[steps.length - 1]!;
}

/** A step as the API takes it. */
export function stepText(ms: number): string {
	return `${Math.round(ms / 1000)}s`;
}

/** "the last 15 minutes", or the two moments. */
export function describe(range: Range): string {
	if (range.kind === "last") {
		const preset = presets.find((p) => p.minutes === range.minutes);
		return `the last ${preset?.long ?? `${range.minutes} minutes`}`;
	}
	return "the chosen time range";
}

/**
 * Reads a moment as a person types it: "2026-11-23 14:05:06" or "14:05" today in
 * local time, RFC 3339, unix seconds or milliseconds, "now", "-2h". NaN if it is none of these.
 */
export function parseMoment(text: string, now: number): number {
	const t = text.trim();
	if (t === "" || t === "now") return t === "now" ? now : NaN;
	const rel = /^-?(\d+(?:\.\d+)?)\s*(s|m|h|d|w)$/.exec(t);
	if (rel) {
		const unit = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }[rel[2] as "s"];
		return now - Number(rel[1]) * unit;
	}
	if (/^\d{10}(\.\d+)?$/.test(t)) return Number(t) * 1000;
	if (/^\d{13}$/.test(t)) return Number(t);
	const m = /^(?:(\d{4})-(\d\d)-(\d\d))?(?:[ T]?(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,3})\d*)?)?)?$/.exec(t);
	if (m && (m[1] || m[4])) {
		const today = new Date(now);
		const n = (s: string | undefined, otherwise: number): number => (s === undefined ? otherwise : Number(s));
		const d = new Date(
			n(m[1], today.getFullYear()), m[2] ? Number(m[2]) - 1 : today.getMonth(), n(m[3], today.getDate()),
			n(m[4], 0), n(m[5], 0), n(m[6], 0), Number((m[7] ?? "0").padEnd(3, "0")),
		);
		return d.getTime();
	}
	return Date.parse(t);
}
