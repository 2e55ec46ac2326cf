// The part of the page's state that a link carries: in the fragment, so that
// queries stay out of the access logs of proxies.

import type { Range } from "./range";

export interface View {
	query: string;
	/** "project/logstore"; empty means all of the default project. */
	store: string;
	range: Range;
	live: boolean;
}

export const defaultView: View = { query: "", store: "", range: { kind: "last", minutes: 15 }, live: true };

export function toHash(v: View): string {
	const p = new URLSearchParams();
	if (v.query) p.set("q", v.query);
	if (v.store) p.set("store", v.store);
	if (v.range.kind === "fixed") {
		p.set("from", new Date(v.range.start).toISOString());
		p.set("to", new Date(v.range.end).toISOString());
	} else {
		if (v.range.minutes !== 15) p.set("last", `${v.range.minutes}m`);
		if (!v.live) p.set("live", "0");
	}
	const s = p.toString();
	return s ? `#${s}` : "#";
}

/** Reads a fragment; what it cannot read has its default. */
export function fromHash(hash: string): View {
	const p = new URLSearchParams(hash.replace(/^#/, ""));
	const view: View = { ...defaultView, query: p.get("q") ?? "", store: p.get("store") ?? "" };
	const from = Date.parse(p.get("from") ?? "");
	const to = Date.parse(p.get("to") ?? "");
	if (from < to) return { ...view, range: { kind: "fixed", start: from, end: to }, live: false };
	const last = /^(\d{1,6})m$/.exec(p.get("last") ?? "");
	if (last && Number(last[1]) > 0) view.range = { kind: "last", minutes: Number(last[1]) };
	view.live = p.get("live") !== "0";
	return view;
}
