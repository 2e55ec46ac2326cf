// The hub's HTTP API as the page uses it.

import type { Ledger } from "./logic/ledger";
import type { Fields } from "./logic/record";
import { EventParser } from "./logic/sse";

/** A refused or failed call. `status` is 0 if no answer came. */
export class ApiError extends Error {
	constructor(
		readonly status: number,
		readonly code: string,
		message: string,
	) {
		super(message);
	}
}

export interface Scope {
	project: string;
	logstore: string;
	query: string;
}

export interface Window {
	start: number;
	end: number;
}

export interface Hits {
	fields: Fields;
	timestamps: string[];
	values: number[];
	total: number;
}

export interface Facet {
	field: string;
	values: { value: string; hits: number }[];
}

export interface Logstore {
	project: string;
	logstore: string;
	records: number;
	bytes: number;
	last: string;
}

export interface Status {
	version: string;
	uptime_seconds: number;
	store: string;
	default_project?: string;
}

type Params = Record<string, string | number>;

function address(path: string, params: Params): string {
	const p = new URLSearchParams();
	for (const [k, v] of Object.entries(params)) if (v !== "") p.set(k, String(v));
	const s = p.toString();
	return `/api/v1/${path}${s ? `?${s}` : ""}`;
}

function span(w: Window): Params {
	return { start: new Date(w.start).toISOString(), end: new Date(w.end).toISOString() };
}

async function call(path: string, params: Params, signal?: AbortSignal): Promise<Response> {
	let response: Response;
	try {
		response = await fetch(address(path, params), { signal: signal ?? null, credentials: "same-origin", cache: "no-store" });
	} catch (e) {
		if (signal?.aborted) throw e;
		throw new ApiError(0, "Unreachable", "The hub does not answer.");
	}
	if (response.ok) return response;
	let code = "";
	let message = "";
	try {
		const body = (await response.json()) as { error?: { code?: string; message?: string } };
		code = body.error?.code ?? "";
		message = body.error?.message ?? "";
	} catch {
		// Not our JSON: a proxy's page, perhaps. The status has to do.
	}
	throw new ApiError(response.status, code, message || `The hub answered with status ${response.status}.`);
}

async function json<T>(path: string, params: Params, signal?: AbortSignal): Promise<T> {
	return (await (await call(path, params, signal)).json()) as T;
}

/** Reads lines of JSON; a line that is no object is left out. */
export function parseLines(text: string): Fields[] {
	const out: Fields[] = [];
	for (const line of text.split("\n")) {
		if (line.trim() === "") continue;
		try {
			const v: unknown = JSON.parse(line);
			if (v !== null && typeof v === "object" && !Array.isArray(v)) out.push(v as Fields);
		} catch {
			// The last line of an answer that was cut off.
		}
	}
	return out;
}

/** Records of a time window, newest first. */
export async function query(s: Scope, w: Window, limit: number, offset: number, signal?: AbortSignal): Promise<Fields[]> {
	const response = await call("query", { ...s, ...span(w), limit, offset: offset || "" }, signal);
	return parseLines(await response.text());
}

export async function hits(s: Scope, w: Window, step: string, field: string, signal?: AbortSignal): Promise<Hits[]> {
	return (await json<{ hits: Hits[] | null }>("hits", { ...s, ...span(w), step, field }, signal)).hits ?? [];
}

export async function facets(s: Scope, w: Window, limit: number, signal?: AbortSignal): Promise<Facet[]> {
	return (await json<{ facets: Facet[] | null }>("facets", { ...s, ...span(w), limit }, signal)).facets ?? [];
}

export async function logstores(signal?: AbortSignal): Promise<Logstore[]> {
	return (await json<{ logstores: Logstore[] | null }>("logstores", {}, signal)).logstores ?? [];
}

export async function context(project: string, generation: string, offset: string, before: number, after: number, signal?: AbortSignal): Promise<Fields[]> {
	return (await json<{ records: Fields[] | null }>("context", { project, generation, offset, before, after }, signal)).records ?? [];
}

/** The ledger, with as many generations as the hub gives at once; its totals are of all. */
export const ledger = (signal?: AbortSignal): Promise<Ledger> => json<Ledger>("ledger", { limit: 10_000 }, signal);
export const status = (signal?: AbortSignal): Promise<Status> => json<Status>("status", {}, signal);

export interface TailHandlers {
	open(): void;
	logs(records: Fields[]): void;
	dropped(count: number): void;
}

/** Follows new records until the connection ends or the signal says so. Rejects if it cannot connect. */
export async function tail(s: Scope, on: TailHandlers, signal: AbortSignal): Promise<void> {
	const response = await call("tail", { ...s }, signal);
	const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
	const parser = new EventParser();
	on.open();
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		for (const e of parser.feed(value)) {
			if (e.event === "logs") on.logs(JSON.parse(e.data) as Fields[]);
			else if (e.event === "dropped") on.dropped((JSON.parse(e.data) as { count: number }).count);
		}
	}
}
