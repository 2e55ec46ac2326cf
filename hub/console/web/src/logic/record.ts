// A record as the list holds it.

import { type Level, levelFields, levelOf } from "./level";
import { oneLine } from "./format";

/** A record as the hub sends it: every value is text. */
export type Fields = Record<string, string>;

export interface Row {
	/** Unique in the list. */
	id: number;
	/** The same for the same record, however it arrived; empty if the record cannot be told apart. */
	key: string;
	time: number;
	level: Level;
	/** The message on one line. */
	line: string;
	/** Fields worth showing when the message was made from the fields themselves. */
	pairs: [string, string][] | null;
	fields: Fields;
}

let lastID = 0;

export function toRow(fields: Fields): Row {
	return {
		id: ++lastID,
		key: keyOf(fields),
		time: Date.parse(fields["_time"] ?? "") || 0,
		level: levelOf(fields),
		line: oneLine(fields["_msg"] ?? ""),
		pairs: pairsOf(fields),
		fields,
	};
}

function keyOf(f: Fields): string {
	return f["__wt_generation__"] && f["__wt_offset__"] ? `${f["__wt_generation__"]}:${f["__wt_offset__"]}` : "";
}

/** True for fields that describe where a record came from rather than what it says. */
export function isMeta(name: string): boolean {
	return name.startsWith("_") && name !== "_msg";
}

/** Fields that hold the message itself. */
export const messageFields = ["content", "message", "msg", "log", "__raw_log__"];

// The store keeps no order of fields, and rows are easier to read when theirs agree.
const leading = [...messageFields, "method", "request", "path", "uri", "url", "status", "status_code"];

function byRank([a]: [string, string], [b]: [string, string]): number {
	const rank = (name: string): number => (leading.includes(name) ? leading.indexOf(name) : leading.length);
	return rank(a) - rank(b) || (a < b ? -1 : 1);
}

// Without a message of its own a record's _msg repeats all of its fields. The list
// shows the fields then, so that names can be told from values.
function pairsOf(f: Fields): [string, string][] | null {
	if (messageFields.some((name) => f[name])) return null;
	const own = Object.entries(f).filter(([name]) => !isMeta(name) && name !== "_msg");
	own.sort(byRank);
	return own.length > 1 || (own.length === 1 && !f["_msg"]) ? own.map(([k, v]) => [k, oneLine(v, 300)]) : null;
}

/** Fields for the details: the record's own first, then where it came from. */
export function detailFields(f: Fields): { own: [string, string][]; meta: [string, string][] } {
	const all = Object.entries(f).filter(([, v]) => v !== "");
	const repeats = messageFields.some((name) => name !== "_msg" && f[name] === f["_msg"]);
	const own = all.sort(byRank).filter(([name]) => !isMeta(name) && !(name === "_msg" && (repeats || pairsOf(f) !== null)));
	const meta = all.filter(([name]) => isMeta(name) && name !== "_stream" && name !== "_stream_id").sort(([a], [b]) => (a < b ? -1 : 1));
	return { own, meta };
}

/** The name to filter a record's field by. The hub keeps the raw line as the message and only shows it as content. */
export function filterName(f: Fields, name: string): string {
	return name === "content" && f["content"] === f["_msg"] ? "_msg" : name;
}

/** The last part of a path. */
export function baseName(path: string): string {
	return path.slice(path.lastIndexOf("/") + 1) || path;
}

/** At most `limit` short values that the message does not already show. */
export function chips(row: Row, preferred: string[], limit: number): [string, string][] {
	if (row.pairs) return [];
	const out: [string, string][] = [];
	for (const name of preferred) {
		const value = row.fields[name];
		if (!value || value.length > 40 || isMeta(name) || messageFields.includes(name) || levelFields.includes(name) || row.line.includes(value)) continue;
		out.push([name, value]);
		if (out.length === limit) break;
	}
	return out;
}

const utf8 = new TextEncoder();

/** Where the record's line lies in its file: exclusive end, or null while it is not known. */
export function byteRange(f: Fields): { start: number; end: number | null } | null {
	const text = f["__wt_offset__"];
	if (!text || !/^\d+$/.test(text)) return null;
	const start = Number(text);
	const raw = f["content"] ?? f["__raw_log__"];
	return { start, end: raw ? start + utf8.encode(raw).length : null };
}
