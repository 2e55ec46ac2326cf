import { describe, expect, it } from "vitest";
import { type Row, toRow } from "../src/logic/record";
import { TailBuffer } from "../src/logic/tail";

const row = (n: number): Row => toRow({ _msg: `m${n}`, __wt_generation__: "g", __wt_offset__: String(n) });
const rows = (from: number, to: number): Row[] => Array.from({ length: to - from }, (_, i) => row(from + i));
const shown = (b: TailBuffer): string => {
	b.show();
	return names(b);
};
const names = (b: TailBuffer): string => b.rows.map((r) => r.line).join(" ");

describe("TailBuffer", () => {
	it("keeps the newest lines within its limit", () => {
		const b = new TailBuffer(4);
		b.append(rows(0, 3));
		b.append(rows(3, 6));
		expect(shown(b)).toBe("m2 m3 m4 m5");
		expect(b.trimmed).toBe(true);
	});
	it("stands still while paused, and counts", () => {
		const b = new TailBuffer(10);
		b.append(rows(0, 2));
		b.show();
		const before = b.rows;
		b.pause();
		expect(b.append(rows(2, 5))).toBe(3);
		expect(b.rows).toBe(before);
		expect(b.waitingCount).toBe(3);
		b.resume();
		expect(names(b)).toBe("m0 m1 m2 m3 m4");
		expect(b.waitingCount).toBe(0);
	});
	it("holds what is on the screen, not what came after it", () => {
		const b = new TailBuffer(10);
		b.append(rows(0, 2));
		b.show();
		b.append(rows(2, 5)); // arrived, but nobody has seen it yet
		b.pause();
		expect(shown(b)).toBe("m0 m1");
		expect(b.waitingCount).toBe(3);
	});
	it("stays bounded while nobody asks it to show", () => {
		const b = new TailBuffer(4);
		for (let i = 0; i < 100; i++) b.append([row(i)]);
		expect(b.waiting.length).toBeLessThanOrEqual(4);
		expect(shown(b)).toBe("m96 m97 m98 m99");
		expect(b.dropped).toBe(0);
	});
	it("keeps a record the same row when a new answer has it too", () => {
		const b = new TailBuffer(10);
		b.reset(rows(0, 3).reverse());
		const before = b.rows;
		b.reset(rows(1, 4).reverse());
		expect(names(b)).toBe("m1 m2 m3");
		expect([b.rows[0], b.rows[1]]).toEqual([before[1], before[2]]);
		expect(b.rows[0]!.id).toBe(before[1]!.id);
	});
	it("stays bounded while paused for long, and says what it could not keep", () => {
		const b = new TailBuffer(4);
		b.append(rows(0, 3));
		b.show();
		b.pause();
		for (let i = 3; i < 103; i++) b.append([row(i)]);
		expect(b.waiting.length).toBe(4);
		expect(b.waitingCount).toBe(100);
		b.resume();
		expect(names(b)).toBe("m99 m100 m101 m102");
		expect(b.dropped).toBe(96);
	});
	it("shows a record once, even if query and tail both bring it", () => {
		const b = new TailBuffer(10);
		b.reset(rows(0, 3).reverse());
		expect(b.append(rows(1, 5))).toBe(2);
		b.show();
		b.pause();
		b.append(rows(4, 6));
		expect(b.append(rows(4, 6))).toBe(0);
		b.resume();
		expect(names(b)).toBe("m0 m1 m2 m3 m4 m5");
	});
	it("shows records without a place in a file each time they come", () => {
		const b = new TailBuffer(10);
		b.append([toRow({ _msg: "same" }), toRow({ _msg: "same" })]);
		b.show();
		expect(b.rows.length).toBe(2);
	});
	it("adds older pages below, within its limit", () => {
		const b = new TailBuffer(5);
		b.reset(rows(3, 6).reverse());
		expect(b.appendOlder(rows(0, 4).reverse())).toBe(2);
		expect(names(b)).toBe("m1 m2 m3 m4 m5");
	});
	it("forgets the keys of lines it no longer holds", () => {
		const b = new TailBuffer(2);
		b.append(rows(0, 4));
		b.show();
		expect(b.append([row(0)])).toBe(1);
	});
});
