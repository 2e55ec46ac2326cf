import { describe, expect, it } from "vitest";
import { clause, forHub, join, quote, searchWords, split, toggleFilter } from "../src/logic/query";

const f = (field: string, value: string, exclude = false) => ({ field, value, exclude });

describe("quote", () => {
	it.each([
		["plain", '"plain"'],
		['say "hi"', '"say \\"hi\\""'],
		["back\\slash", '"back\\\\slash"'],
		["line\nfeed\ttab", '"line\\nfeed\\ttab"'],
		["esc \x1b del \x7f nel \x85", '"esc \\u001b del \\u007f nel \\u0085"'],
		["half \ud83d pair", '"half \ufffd pair"'],
		["whole 😀 pair", '"whole 😀 pair"'],
		["", '""'],
	])("writes %j", (text, want) => expect(quote(text)).toBe(want));
});

describe("clause", () => {
	it("leaves simple names bare and quotes the others", () => {
		expect(clause(f("status", "500"))).toBe('status:="500"');
		expect(clause(f("http.status", "500", true))).toBe('-http.status:="500"');
		expect(clause(f("user agent", "x"))).toBe('"user agent":="x"');
		expect(clause(f("a:b", "x"))).toBe('"a:b":="x"');
		expect(clause(f("not", "x"))).toBe('"not":="x"');
		expect(clause(f("Range", "x"))).toBe('"Range":="x"');
		expect(clause(f("2xx", "x"))).toBe('"2xx":="x"');
	});
});

describe("forHub", () => {
	it.each([
		["order", '"order"'], ["Order placed", '"Order" placed'], ["count:5", '"count":5'], [" limit", '"limit"'], ["orders", "orders"], ["order.id:5", "order.id:5"],
		["placed order", "placed order"], ['"order"', '"order"'], ["-order", "-order"], ["* | limit 5", "* | limit 5"], ["", ""],
	])("%j becomes %j", (query, want) => expect(forHub(query)).toBe(want));
	it("is not needed for filters", () => {
		for (const name of ["hash", "count", "first"]) expect(clause(f(name, "x"))).toBe(`"${name}":="x"`);
	});
});

describe("split", () => {
	it("tells filters from the rest", () => {
		expect(split('status:="500" timeout -host:="a b" GET')).toEqual({ filters: [f("status", "500"), f("host", "a b", true)], rest: "timeout GET" });
		expect(split('!level:="debug"')).toEqual({ filters: [f("level", "debug", true)], rest: "" });
		expect(split('a:="x" and b:="y" and word')).toEqual({ filters: [f("a", "x"), f("b", "y")], rest: "word" });
	});
	it("leaves filters where removing them would change the meaning", () => {
		for (const q of ['a:="x" or b:="y"', '(a:="x" b) or c', '"open a:="x"', '(a:="x"', 'a:="x")']) expect(split(q)).toEqual({ filters: [], rest: q });
		expect(split('not a:="x" word')).toEqual({ filters: [], rest: 'not a:="x" word' });
		expect(split('word | filter a:="x"')).toEqual({ filters: [], rest: 'word | filter a:="x"' });
	});
	it("takes nothing and everything for the same", () => {
		expect(split("")).toEqual({ filters: [], rest: "" });
		expect(split("*").rest).toBe("");
	});
	it("drops the brackets that held the rest together", () => {
		expect(split('a:="x" (b or c)')).toEqual({ filters: [f("a", "x")], rest: "b or c" });
		expect(split('a:="x" (b or c) (d or e)').rest).toBe("(b or c) (d or e)");
	});
	it("keeps the star that a pipe needs before it", () => {
		expect(split("* | stats count()")).toEqual({ filters: [], rest: "* | stats count()" });
		expect(join(split("* | stats count()"))).toBe("* | stats count()");
		expect(toggleFilter("* | limit 1", f("a", "x"))).toBe('a:="x" | limit 1');
		expect(toggleFilter('a:="x" | limit 1', f("a", "x"))).toBe("* | limit 1");
	});
	it("keeps pipes at the end", () => {
		expect(split('a:="x|y" word | limit 5')).toEqual({ filters: [f("a", "x|y")], rest: "word | limit 5" });
	});
});

describe("join and split", () => {
	const values = ["", "x", 'q"q', "a\\", "a\\\\\"b", "nl\n", "\x00\x1b[31m", "ü 😀", "a) or (b", "x | y", "`", "'", "#", "{}", "-", "\u2028\u202e"];
	it("agree for any field and value", () => {
		for (const value of values) {
			for (const field of ["a", "two words", 'q"', "é", "or", "a.b", "-x"]) {
				for (const exclude of [false, true]) {
					for (const rest of ["", "word", "b or c", '"a phrase" x:y | stats count()']) {
						const want = { filters: [f(field, value, exclude), f("z", "1")], rest };
						expect(split(join(want)), join(want)).toEqual(want);
					}
				}
			}
		}
	});
	it("puts brackets around alternatives, so that filters hold for all of them", () => {
		expect(join({ filters: [f("a", "x")], rest: "b or c | limit 1" })).toBe('a:="x" (b or c) | limit 1');
	});
});

describe("toggleFilter", () => {
	it("adds, removes and turns round", () => {
		const once = toggleFilter("GET or PUT", f("status", "500"));
		expect(once).toBe('status:="500" (GET or PUT)');
		expect(toggleFilter(once, f("status", "500"))).toBe("GET or PUT");
		expect(toggleFilter(once, f("status", "500", true))).toBe('-status:="500" (GET or PUT)');
		expect(toggleFilter("*", f("a", "b"))).toBe('a:="b"');
	});
});

describe("searchWords", () => {
	it("finds what the message is searched for", () => {
		expect(searchWords('error "conn refused" time* status:500 -healthz not debug (x or y) a:="b"')).toEqual(["error", "conn refused", "time"]);
		expect(searchWords("a or b and c | limit 3")).toEqual(["a", "b", "c"]);
		expect(searchWords('i(Time*) i("conn refused") -i(healthz) i(a or b)')).toEqual(["Time", "conn refused"]);
	});
});
