// Reading and building LogsQL: the filters that clicks add, and what is left of
// the query beside them. The query text is the only state; filters are found in it.

/** One `field:="value"` clause of a query, or its opposite. */
export interface Filter {
	field: string;
	value: string;
	exclude: boolean;
}

export interface SplitQuery {
	filters: Filter[];
	/** The query without its filters, without the brackets that only held it together. */
	rest: string;
}

const simpleName = /^[A-Za-z_][A-Za-z0-9_.]*$/;

// Words that mean something to the query language and so need quotes as a name.
const keywords = new Set(
	("and or not now offset contains_all contains_any eq_field exact i in ipv4_range le_field len_range lt_field range re seq " +
		"string_range value_type options").split(" "),
);

// Names of pipes and of what they compute. The language takes one at the start of a query for a
// mistake, even where it is a word to look for, or the name of a field.
const pipes = new Set(
	("block_stats blocks_count collapse_nums copy cp decolorize delete del rm drop drop_empty_fields extract extract_regexp facets field_names " +
		"field_values fields keep filter where first format join json_array_len hash last len limit head math eval offset skip pack_json " +
		"pack_logfmt pack_logmft rename mv replace replace_regexp sample sort order stats stats_remote by stream_context top union uniq " +
		"unpack_json unpack_logfmt unpack_syslog unpack_words unroll avg count count_empty count_uniq count_uniq_hash histogram json_values " +
		"max median min quantile rate rate_sum row_any row_max row_min sum sum_len uniq_values values").split(" "),
);

/** The query as the hub takes it: words work at its start whatever else they may mean. */
export function forHub(query: string): string {
	return query.replace(/^\s*([A-Za-z_]+)(?![\p{L}\p{N}_.])/u, (all, word: string) => (pipes.has(word.toLowerCase()) ? quote(word) : all));
}

/** Quotes text as a LogsQL string. Any text survives, control characters included. */
export function quote(text: string): string {
	return JSON.stringify(wellFormed(text)).replace(/[\u007f-\u009f\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Half of a surrogate pair cannot be written as UTF-8, and the hub refuses it.
function wellFormed(text: string): string {
	return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

function fieldName(name: string): string {
	return simpleName.test(name) && !keywords.has(name.toLowerCase()) && !pipes.has(name.toLowerCase()) ? name : quote(name);
}

/** Writes one filter as a LogsQL clause. */
export function clause(f: Filter): string {
	return `${f.exclude ? "-" : ""}${fieldName(f.field)}:=${quote(f.value)}`;
}

export function sameFilter(a: Filter, b: Filter): boolean {
	return a.field === b.field && a.value === b.value && a.exclude === b.exclude;
}

/**
 * Finds the filters at the top level of a query. Clauses inside brackets, after a
 * pipe, or beside an `or` are part of the rest, because removing them would
 * change what the others mean.
 */
export function split(query: string): SplitQuery {
	const { head, pipes } = cutPipes(query);
	const tokens = topLevel(head);
	if (tokens === null || tokens.some((t) => /^or$/i.test(t))) return { filters: [], rest: query.trim() };
	const filters: Filter[] = [];
	const rest: string[] = [];
	let joins: string[] = []; // "and" and "not" wait to see what follows them
	for (const token of tokens) {
		if (/^(and|not|!|-)$/i.test(token)) {
			joins.push(token);
			continue;
		}
		const negated = joins.some((j) => !/^and$/i.test(j));
		const filter = negated ? null : parseClause(token);
		if (filter) {
			if (!filters.some((f) => sameFilter(f, filter))) filters.push(filter);
		} else {
			if (rest.length === 0) joins = joins.filter((j) => !/^and$/i.test(j));
			rest.push(...joins, token);
		}
		joins = [];
	}
	rest.push(...joins.filter((j) => !/^and$/i.test(j)));
	let text = rest.join(" ");
	if (text === "*" && (filters.length > 0 || pipes === "")) text = "";
	if (filters.length > 0 && rest.length === 1 && text.startsWith("(") && closes(text) === text.length - 1) {
		text = text.slice(1, -1).trim();
	}
	return { filters, rest: [text, pipes].filter(Boolean).join(" ") };
}

/** The opposite of split: the query that asks for all filters and the rest. */
export function join({ filters, rest }: SplitQuery): string {
	const { head, pipes } = cutPipes(rest);
	if (filters.length === 0) return head.trim() === "" && pipes ? `* ${pipes}` : rest.trim();
	let text = head.trim();
	const tokens = topLevel(text);
	if (text === "*") text = "";
	else if (tokens?.some((t) => /^or$/i.test(t))) text = `(${text})`;
	return [...filters.map(clause), text, pipes].filter(Boolean).join(" ");
}

/** Adds the filter, or removes it if it is there; the opposite filter goes away. */
export function toggleFilter(query: string, f: Filter): string {
	const { filters, rest } = split(query);
	const kept = filters.filter((g) => !(g.field === f.field && g.value === f.value));
	if (!filters.some((g) => sameFilter(g, f))) kept.push(f);
	return join({ filters: kept, rest });
}

/** The words and phrases a query looks for in the message: what the page marks. */
export function searchWords(query: string): string[] {
	const { rest } = split(query);
	const tokens = topLevel(cutPipes(rest).head) ?? [];
	const words: string[] = [];
	let negated = false;
	for (const token of tokens) {
		if (/^(not|!|-)$/i.test(token)) {
			negated = true;
			continue;
		}
		if (!negated && !/^(and|or)$/i.test(token)) {
			const word = plainWord(token);
			if (word) words.push(word);
		}
		negated = false;
	}
	return words;
}

function plainWord(written: string): string {
	const token = /^i\((\S+|["'`].*)\)$/.exec(written)?.[1] ?? written; // in capital or small letters
	if (/^["'`]/.test(token)) {
		const end = stringEnd(token, 0);
		return end === token.length ? unquote(token) : "";
	}
	const word = token.replace(/\*$/, "");
	return /^[-!(_]|[:"'`(){}|]/.test(word) ? "" : word;
}

const clausePattern = /^([-!]?)((?:[A-Za-z_][A-Za-z0-9_.]*)|"(?:[^"\\]|\\.)*"):="((?:[^"\\]|\\.)*)"$/;

function parseClause(token: string): Filter | null {
	const m = clausePattern.exec(token);
	if (!m) return null;
	const field = m[2]!.startsWith('"') ? unquote(m[2]!) : m[2]!;
	return { field, value: unquote(`"${m[3]!}"`), exclude: m[1] !== "" };
}

function unquote(text: string): string {
	if (text.startsWith("`")) return text.slice(1, -1);
	const body = text.slice(1, -1);
	return body.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/g, (_, e: string) => {
		if (e.length > 1) return String.fromCharCode(parseInt(e.slice(1), 16));
		return { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", v: "\v", a: "\x07" }[e] ?? e;
	});
}

// The end of the string that starts at `from`, or -1 if it is never closed.
function stringEnd(text: string, from: number): number {
	const mark = text[from];
	for (let i = from + 1; i < text.length; i++) {
		if (text[i] === "\\" && mark !== "`") i++;
		else if (text[i] === mark) return i + 1;
	}
	return -1;
}

// The position of the bracket that closes the one at the start, or -1.
function closes(text: string): number {
	let depth = 0;
	for (let i = 0; i < text.length; i++) {
		const c = text[i]!;
		if (c === '"' || c === "'" || c === "`") {
			const end = stringEnd(text, i);
			if (end < 0) return -1;
			i = end - 1;
		} else if (c === "(" || c === "[" || c === "{") depth++;
		else if ((c === ")" || c === "]" || c === "}") && --depth <= 0) return i;
	}
	return -1;
}

function cutPipes(query: string): { head: string; pipes: string } {
	let depth = 0;
	for (let i = 0; i < query.length; i++) {
		const c = query[i]!;
		if (c === '"' || c === "'" || c === "`") {
			const end = stringEnd(query, i);
			if (end < 0) break;
			i = end - 1;
		} else if (c === "(" || c === "{") depth++;
		else if (c === ")" || c === "}") depth--;
		else if (c === "|" && depth <= 0) return { head: query.slice(0, i), pipes: query.slice(i).trim() };
	}
	return { head: query, pipes: "" };
}

// Cuts at spaces outside of quotes and brackets; null when quotes or brackets do not match.
function topLevel(text: string): string[] | null {
	const tokens: string[] = [];
	let start = -1;
	let depth = 0;
	for (let i = 0; i < text.length; i++) {
		const c = text[i]!;
		if (/\s/.test(c) && depth === 0) {
			if (start >= 0) tokens.push(text.slice(start, i));
			start = -1;
			continue;
		}
		if (start < 0) start = i;
		if (c === '"' || c === "'" || c === "`") {
			const end = stringEnd(text, i);
			if (end < 0) return null;
			i = end - 1;
		} else if (c === "(" || c === "{" || c === "[") depth++;
		else if (c === ")" || c === "}" || c === "]") depth--;
		if (depth < 0) return null;
	}
	if (start >= 0) tokens.push(text.slice(start));
	return depth === 0 ? tokens : null;
}
