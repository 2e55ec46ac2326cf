import { describe, expect, it } from "vitest";
import { parseLines } from "../src/api";
import { ago, bytes, count, duration, mark, oneLine, shortCount, visible } from "../src/logic/format";
import { defaultView, fromHash, toHash, type View } from "../src/logic/hash";
import { coverage, type Generation, inFlight, type Totals, verdict, worstFirst } from "../src/logic/ledger";
import { levelOf, levelOfText } from "../src/logic/level";
import { bounds, parseMoment, stepFor } from "../src/logic/range";
import { byteRange, chips, detailFields, filterName, toRow } from "../src/logic/record";
import { bestGroup, stack } from "../src/logic/series";
import { EventParser } from "../src/logic/sse";
import { indexAt, topOf } from "../src/logic/virtual";

describe("level", () => {
	it.each([
		[{ level: "ERROR" }, "error"], [{ severity: "Warning" }, "warn"], [{ level: "30" }, "info"], [{ level: "60" }, "fatal"], [{ level: "3" }, "error"],
		[{ status: "503" }, "error"], [{ status: "404" }, "warn"], [{ status: "200" }, "none"], [{ status: "ok" }, "none"], [{ level: "constructor" }, "none"],
		[{ level: "info", status: "500" }, "info"],
		[{ _msg: "2026-11-23 ERROR cannot open" }, "error"], [{ _msg: "2026/11/23 [error] 12#12: upstream" }, "error"], [{ _msg: "E1123 10:00:00.1 12 x.go:1] boom" }, "error"],
		[{ _msg: "ts=1 level=warn msg=x" }, "warn"], [{ _msg: '{"level":"debug","a":1}' }, "debug"], [{ _msg: "[core:notice] x" }, "info"], [{ _msg: "panic: runtime error" }, "fatal"],
		[{ _msg: "app: \x1b[31mERROR\x1b[0m boom" }, "error"], [{ _msg: "\x1b[33mwarn:\x1b[0m slow" }, "warn"],
		[{ _msg: "0 errors, all information stored" }, "none"], [{ _msg: "GET /error HTTP/1.1" }, "none"], [{}, "none"],
	] as const)("%j is %s", (record, want) => expect(levelOf(record as Record<string, string>)).toBe(want));
	it("looks near the start only", () => expect(levelOfText(`${"x ".repeat(200)}ERROR`)).toBe("none"));
});

describe("numbers", () => {
	it("are exact or short", () => {
		expect(count(1234567)).toBe("1,234,567");
		expect([0, 999, 1000, 1234, 9960, 12345, 999_499, 999_500, 1e6, 2.5e9].map(shortCount)).toEqual(["0", "999", "1k", "1.2k", "10k", "12k", "999k", "1M", "1M", "2.5G"]);
		expect([0, 1023, 1024, 1536, 10 * 1024, 1024 ** 2, 1.5 * 1024 ** 4].map(bytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 KiB", "1.0 MiB", "1.5 TiB"]);
		expect([0, 59_000, 61_000, 7.2e6, 4 * 864e5].map(duration)).toEqual(["0 s", "59 s", "1 min", "2 h", "4 d"]);
		expect([ago(0, 500), ago(0, 60_000)]).toEqual(["just now", "1 min ago"]);
	});
});

describe("text", () => {
	it("shows what is invisible", () => {
		expect(visible("a\x1b[31mred\x00\u202e")).toEqual([
			{ text: "a", kind: "plain" }, { text: "\\x1b[31m", kind: "escape" }, { text: "red", kind: "plain" }, { text: "\\x00", kind: "escape" }, { text: "\\u202e", kind: "escape" },
		]);
		expect(visible("tab\there\n")).toEqual([{ text: "tab\there\n", kind: "plain" }]);
		expect(visible("")).toEqual([]);
	});
	it("marks words whatever their case, and nothing else", () => {
		expect(mark(visible("Error: error(1)"), ["error(1)", "ERROR"])).toEqual([{ text: "Error", kind: "mark" }, { text: ": ", kind: "plain" }, { text: "error(1)", kind: "mark" }]);
	});
	it("fits on one line", () => {
		expect(oneLine("a\r\n  b\nc")).toBe("a ⏎ b ⏎ c");
		expect(oneLine("x".repeat(5000)).length).toBe(1201);
	});
});

describe("hash", () => {
	it("carries the view there and back", () => {
		const views: View[] = [
			defaultView,
			{ query: 'a:="é & #" or b', store: "default/nginx", range: { kind: "last", minutes: 360 }, live: false },
			{ query: "", store: "", range: { kind: "fixed", start: 1_700_000_000_000, end: 1_700_000_060_123 }, live: false },
		];
		for (const v of views) expect(fromHash(toHash(v))).toEqual(v);
	});
	it("falls back to the defaults", () => {
		for (const h of ["", "#", "#last=xm", "#last=0m", "#from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "#from=x&to=y"]) expect(fromHash(h)).toEqual(defaultView);
	});
});

describe("range", () => {
	const now = new Date(2026, 10, 23, 15, 0, 0).getTime();
	it("reads moments as people write them", () => {
		expect(parseMoment("2026-11-23 14:05:06", now)).toBe(new Date(2026, 10, 23, 14, 5, 6).getTime());
		expect(parseMoment("2026-11-22", now)).toBe(new Date(2026, 10, 22).getTime());
		expect(parseMoment("9:30", now)).toBe(new Date(2026, 10, 23, 9, 30).getTime());
		expect(parseMoment("14:05:06.5", now)).toBe(new Date(2026, 10, 23, 14, 5, 6, 500).getTime());
		expect(parseMoment("2026-11-23T14:00:00Z", now)).toBe(Date.UTC(2026, 10, 23, 14));
		expect(parseMoment("1700000000", now)).toBe(1_700_000_000_000);
		expect(parseMoment("-2h", now)).toBe(now - 7_200_000);
		expect(parseMoment("now", now)).toBe(now);
		for (const bad of ["", "soon", "25 o'clock"]) expect(parseMoment(bad, now)).toBeNaN();
	});
	it("chooses round steps", () => {
		expect(stepFor(0, 900_000, 90)).toBe(10_000);
		expect(stepFor(0, 3_600_000, 90)).toBe(60_000);
		expect(stepFor(0, 1, 90)).toBe(1000);
		expect(bounds({ kind: "last", minutes: 5 }, now)).toEqual({ start: now - 300_000, end: now });
	});
});

describe("record", () => {
	it("tells records apart by their place in a file", () => {
		expect(toRow({ _msg: "a", __wt_generation__: "g", __wt_offset__: "0" }).key).toBe("g:0");
		expect(toRow({ _msg: "a" }).key).toBe("");
		expect(toRow({}).time).toBe(0);
	});
	it("shows fields when the message only repeats them", () => {
		expect(toRow({ _msg: "a=1 b=2", a: "1", b: "2", __path__: "/x" }).pairs).toEqual([["a", "1"], ["b", "2"]]);
		expect(toRow({ _msg: "hello", message: "hello", a: "1" }).pairs).toBeNull();
		expect(toRow({ "count(*)": "7" }).pairs).toEqual([["count(*)", "7"]]);
		expect(toRow({ _msg: "only=1", only: "1" }).pairs).toBeNull();
	});
	it("keeps the record's own fields before its origin", () => {
		const { own, meta } = detailFields({ _time: "t", _msg: "hello", content: "hello", z: "", a: "1", __path__: "/x", _stream: "{}" });
		expect(own).toEqual([["content", "hello"], ["a", "1"]]);
		expect(meta.map(([k]) => k)).toEqual(["__path__", "_time"]);
	});
	it("makes chips of what the message does not say", () => {
		const row = toRow({ _msg: "order placed", message: "order placed", level: "info", service: "shop", word: "order", __path__: "/x" });
		expect(chips(row, ["word", "level", "__path__", "service", "message"], 2)).toEqual([["service", "shop"]]);
	});
	it("filters by the message where content is only another name of it", () => {
		expect(filterName({ _msg: "hello", content: "hello" }, "content")).toBe("_msg");
		expect(filterName({ _msg: "hello", message: "hello" }, "message")).toBe("message");
	});
	it("counts bytes, not characters", () => {
		expect(byteRange({ __wt_offset__: "10", content: "é😀" })).toEqual({ start: 10, end: 16 });
		expect(byteRange({ __wt_offset__: "10", a: "1" })).toEqual({ start: 10, end: null });
		expect(byteRange({ __wt_offset__: "x" })).toBeNull();
	});
});

describe("ledger", () => {
	const t = (part: Partial<Totals>): Totals => ({ read_records: 10, parsed: 8, failed: 2, filtered: 0, stored: 10, repeated: 0, read_bytes: 1, missing_bytes: 0, ...part });
	it("judges", () => {
		expect(verdict(t({}))).toBe("ok");
		expect(verdict(t({ parsed: 5, filtered: 3, stored: 7 }))).toBe("ok");
		expect(verdict(t({ stored: 9 }))).toBe("flight");
		expect(verdict(t({ read_records: 11 }))).toBe("flight");
		expect(verdict(t({ missing_bytes: 1 }))).toBe("lost");
		expect(verdict(t({ read_records: 0, parsed: 0, failed: 0, stored: 0 }))).toBe("empty");
		expect(inFlight(t({ stored: 4, filtered: 1 }))).toBe(5);
	});
	const g = (part: Partial<Generation>): Generation => ({ agent: "", hostname: "", pipeline: "", project: "", logstore: "", path: "", generation: "", read_bytes: 0, ranges: null, missing: null, parsed: 0, failed: 0, filtered: 0, stored: 0, repeated_batches: 0, first: "", last: "", ...part });
	it("draws what was received and what is missing", () => {
		expect(coverage(g({ ranges: [[10, 50], [60, 100]], missing: [[50, 60]] }))).toEqual([
			{ kind: "before", share: 0.1 }, { kind: "read", share: 0.4 }, { kind: "missing", share: 0.1 }, { kind: "read", share: 0.4 },
		]);
		expect(coverage(g({}))).toEqual([]);
	});
	it("puts losses first", () => {
		const list = [g({ path: "a", last: "2" }), g({ path: "b", last: "1", missing: [[0, 1]] }), g({ path: "c", last: "3" })];
		expect(worstFirst(list).map((x) => x.path)).toEqual(["b", "c", "a"]);
	});
});

describe("histogram", () => {
	const at = (s: number): string => new Date(s * 1000).toISOString();
	it("puts hits into bars, statuses into classes", () => {
		const bars = stack([
			{ fields: { status: "200" }, timestamps: [at(100), at(110)], values: [3, 4], total: 7 },
			{ fields: { status: "204" }, timestamps: [at(110)], values: [1], total: 1 },
			{ fields: { status: "500" }, timestamps: [at(120), at(999)], values: [2, 9], total: 11 },
		], 100_000, 130_000, 10_000, "status");
		expect(bars.times).toEqual([100_000, 110_000, 120_000]);
		expect(bars.series.map((s) => [s.name, ...s.values])).toEqual([["2xx", 3, 5, 0], ["5xx", 0, 0, 2]]);
		expect([bars.total, bars.max]).toEqual([10, 5]);
	});
	it("puts small groups together", () => {
		const hits = Array.from({ length: 12 }, (_, i) => ({ fields: { host: `h${i}` }, timestamps: [at(0)], values: [i + 1], total: i + 1 }));
		const { series } = stack(hits, 0, 1000, 1000, "host");
		expect(series.length).toBe(7);
		expect(series.at(-1)).toMatchObject({ name: "6 others", total: 21 });
	});
	it("has no bars without hits", () => expect(stack([], 0, 5000, 1000, "")).toMatchObject({ total: 0, max: 0, series: [] }));
	it("groups by what most lines have", () => {
		const facet = (field: string, hits: number) => ({ field, values: [{ value: "x", hits }] });
		expect(bestGroup([facet("host", 9), facet("status", 5), facet("level", 5)])).toBe("level");
		expect(bestGroup([facet("status", 6), facet("level", 5)])).toBe("status");
		expect(bestGroup([facet("host", 9)])).toBe("");
	});
});

describe("server-sent events", () => {
	it("come out whole however they were cut", () => {
		const text = ': hi\r\n\r\nevent: logs\r\ndata: [1,\r\ndata: 2]\r\n\r\nid: 4\ndata:x\n\n\nevent: dropped\ndata: {"count":3}\n\nevent: half\ndata: 1';
		const want = [{ event: "logs", data: "[1,\n2]" }, { event: "message", data: "x" }, { event: "dropped", data: '{"count":3}' }];
		for (let size = 1; size < 20; size++) {
			const parser = new EventParser();
			const got = [];
			for (let i = 0; i < text.length; i += size) got.push(...parser.feed(text.slice(i, i + size)));
			expect(got).toEqual(want);
		}
	});
});

describe("lines of JSON", () => {
	it("leave out what is no record", () => expect(parseLines('{"a":"1"}\n\n[1]\nnull\n{"b":"2"}\n{"cut')).toEqual([{ a: "1" }, { b: "2" }]));
});

describe("virtual rows", () => {
	it("agree about tops and indexes", () => {
		const tall = [{ index: 2, extra: 100 }, { index: 5, extra: 40 }];
		for (let i = 0; i < 10; i++) {
			const top = topOf(i, 24, tall);
			const bottom = topOf(i + 1, 24, tall);
			expect([indexAt(top, 24, tall), indexAt(bottom - 1, 24, tall)]).toEqual([i, i]);
		}
	});
});
