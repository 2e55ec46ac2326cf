// From the hub's hits to stacked bars.

import type { Facet, Hits } from "../api";
import { type Level, levelFields, levelOfValue, statusFields } from "./level";

export interface Series {
	name: string;
	/** Which colour of the theme: a level, a status class, or a place in the palette. */
	tone: string;
	values: number[];
	total: number;
}

export interface Bars {
	/** Start of each bar, ms. */
	times: number[];
	/** The bottom of the stack first. */
	series: Series[];
	total: number;
	max: number;
}

export const seriesMax = 7;

const levelOrder: Level[] = ["none", "trace", "debug", "info", "warn", "error", "fatal"];

function groupOf(field: string, value: string): { name: string; tone: string; order: number } {
	if (levelFields.includes(field)) {
		const level = levelOfValue(value);
		const name = level === "none" ? "other" : level;
		return { name, tone: level, order: levelOrder.indexOf(level) };
	}
	if (statusFields.includes(field)) {
		if (!/^[1-5]\d\d$/.test(value)) return { name: "other", tone: "none", order: 0 };
		const c = value[0]!;
		return { name: `${c}xx`, tone: `s${c}`, order: Number(c) };
	}
	return value === "" ? { name: "(none)", tone: "none", order: 99 } : { name: value, tone: "", order: 1 };
}

/** Sorts hits into bars of `step` ms from start to end. */
export function stack(hits: readonly Hits[], start: number, end: number, step: number, field: string): Bars {
	const first = Math.floor(start / step) * step;
	const length = Math.max(1, Math.ceil((end - first) / step));
	const times = Array.from({ length }, (_, i) => first + i * step);
	const groups = new Map<string, Series & { order: number }>();
	for (const h of hits) {
		const g = field === "" ? { name: "lines", tone: "all", order: 0 } : groupOf(field, h.fields[field] ?? "");
		let s = groups.get(g.name);
		if (!s) groups.set(g.name, (s = { ...g, values: new Array<number>(length).fill(0), total: 0 }));
		h.timestamps.forEach((t, i) => {
			const at = Math.floor((Date.parse(t) - first) / step);
			const n = h.values[i] ?? 0;
			if (at >= 0 && at < length) {
				s.values[at]! += n;
				s.total += n;
			}
		});
	}
	const series = limited([...groups.values()]);
	const sums = times.map((_, i) => series.reduce((n, s) => n + s.values[i]!, 0));
	return { times, series, total: series.reduce((n, s) => n + s.total, 0), max: Math.max(0, ...sums) };
}

// Named groups keep their order; the others go by size, and the small ones together.
function limited(all: (Series & { order: number })[]): Series[] {
	const sorted = all.filter((s) => s.total > 0).sort((a, b) => a.order - b.order || b.total - a.total || (a.name < b.name ? -1 : 1));
	const kept = sorted.slice(0, seriesMax - 1);
	const others = sorted.slice(seriesMax - 1);
	if (others.length === 1) kept.push(others[0]!);
	else if (others.length > 1) {
		const values = others[0]!.values.map((_, i) => others.reduce((n, s) => n + s.values[i]!, 0));
		kept.push({ name: `${others.length} others`, tone: "none", values, total: others.reduce((n, s) => n + s.total, 0), order: 99 });
	}
	let next = 0;
	return kept.map(({ name, tone, values, total }) => ({ name, tone: tone || `p${next++ % 6}`, values, total }));
}

/** The field whose values say most about a bar: of levels and statuses the one that most lines have. */
export function bestGroup(facets: readonly Facet[]): string {
	let best = "";
	let most = 0;
	for (const name of [...levelFields, ...statusFields]) {
		const hits = facets.find((f) => f.field === name)?.values.reduce((n, v) => n + v.hits, 0) ?? 0;
		if (hits > most) [best, most] = [name, hits];
	}
	return best;
}
