// Numbers, sizes, times and raw text as a person reads them.

const groups = new Intl.NumberFormat("en-US");

/** 1234567 → "1,234,567". */
export function count(n: number): string {
	return groups.format(n);
}

/** 1234567 → "1.2M": for places too narrow for the exact number. */
export function shortCount(n: number): string {
	const units: [number, string][] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
	for (const [size, unit] of units) {
		if (n >= size * 0.9995) {
			const v = n / size;
			return `${v < 9.95 ? v.toFixed(1).replace(/\.0$/, "") : Math.round(v)}${unit}`;
		}
	}
	return String(n);
}

/** 1536 → "1.5 KiB". */
export function bytes(n: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
	let i = 0;
	let v = n;
	while (v >= 1023.95 && i < units.length - 1) {
		v /= 1024;
		i++;
	}
	return i === 0 ? `${n} B` : `${v < 9.95 ? v.toFixed(1) : Math.round(v)} ${units[i]}`;
}

/** Milliseconds as the one unit that fits: "4 s", "12 min", "3 h", "2 d". */
export function duration(ms: number): string {
	const s = Math.max(0, Math.round(ms / 1000));
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.round(s / 60)} min`;
	if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} d`;
}

export function ago(then: number, now: number): string {
	return now - then < 2000 ? "just now" : `${duration(now - then)} ago`;
}

const two = (n: number): string => String(n).padStart(2, "0");

/** Local time of day with milliseconds. */
export function clock(ms: number): string {
	const d = new Date(ms);
	return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

/** Local month and day. */
export function day(ms: number): string {
	const d = new Date(ms);
	return `${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** Local date and time to the minute or second, as the custom range shows it. */
export function stamp(ms: number, seconds = true): string {
	const d = new Date(ms);
	return `${d.getFullYear()}-${day(ms)} ${two(d.getHours())}:${two(d.getMinutes())}${seconds ? `:${two(d.getSeconds())}` : ""}`;
}

/** A piece of text: as it is, or a stand-in for what cannot be shown. */
export interface Piece {
	text: string;
	kind: "plain" | "escape" | "mark";
}

// Control characters, terminal sequences, and characters that reorder or hide text.
const unseen = /\x1b\[[0-9;:?]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

function escape(found: string): string {
	return Array.from(found, (c) => {
		const code = c.charCodeAt(0);
		if (code >= 0x20 && code < 0x7f) return c;
		if (c === "\r") return "\\r";
		return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
	}).join("");
}

/** Cuts text into pieces that are safe to show: nothing invisible stays invisible. */
export function visible(text: string): Piece[] {
	const out: Piece[] = [];
	let last = 0;
	for (const m of text.matchAll(unseen)) {
		if (m.index > last) out.push({ text: text.slice(last, m.index), kind: "plain" });
		out.push({ text: escape(m[0]), kind: "escape" });
		last = m.index + m[0].length;
	}
	if (last < text.length) out.push({ text: text.slice(last), kind: "plain" });
	return out;
}

/** Marks the words, whatever their case, in the plain pieces. */
export function mark(pieces: Piece[], words: string[]): Piece[] {
	const parts = words.filter((w) => w.length > 1).map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
	if (parts.length === 0) return pieces;
	const pattern = new RegExp(parts.sort((a, b) => b.length - a.length).join("|"), "gi");
	return pieces.flatMap((p) => {
		if (p.kind !== "plain") return [p];
		const out: Piece[] = [];
		let last = 0;
		for (const m of p.text.matchAll(pattern)) {
			if (m.index > last) out.push({ text: p.text.slice(last, m.index), kind: "plain" });
			out.push({ text: m[0], kind: "mark" });
			last = m.index + m[0].length;
		}
		if (last < p.text.length) out.push({ text: p.text.slice(last), kind: "plain" });
		return out;
	});
}

/** One line of a possibly longer text, short enough to lay out cheaply. */
export function oneLine(text: string, limit = 1200): string {
	const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
	return cut.replace(/\r?\n[ \t]*/g, " ⏎ ");
}
