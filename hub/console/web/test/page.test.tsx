import { render } from "preact";
import { afterEach, describe, expect, it } from "vitest";
import { Details } from "../src/ui/details";
import { LedgerLine } from "../src/ui/ledger";
import { LogText } from "../src/ui/text";
import { toRow } from "../src/logic/record";
import type { Ledger, Totals } from "../src/logic/ledger";

const box = (): HTMLElement => {
	const el = document.createElement("div");
	document.body.append(el);
	return el;
};
afterEach(() => document.body.replaceChildren());

describe("log text", () => {
	it("never becomes markup", () => {
		const el = box();
		render(<LogText text={'<img src=x onerror="alert(1)"> \x1b[1m</span>'} words={["img"]} />, el);
		expect(el.querySelector("img")).toBeNull();
		expect(el.textContent).toBe('<img src=x onerror="alert(1)"> \\x1b[1m</span>');
		expect(el.querySelector("mark")?.textContent).toBe("img");
	});
	it("stays text in names and values of fields", () => {
		const el = box();
		render(<Details row={toRow({ _msg: "x", message: "x", "<b>k</b>": "<script>1</script>" })} project="" filters={[]} onToggle={() => {}} />, el);
		expect(el.querySelector("script, b")).toBeNull();
		expect(el.textContent).toContain("<script>1</script>");
	});
});

describe("the ledger line", () => {
	const totals: Totals = { read_records: 12345, parsed: 12300, failed: 45, filtered: 0, stored: 12345, repeated: 0, read_bytes: 99, missing_bytes: 0 };
	const show = (t: Partial<Totals>, generations: Ledger["generations"] = []): HTMLElement => {
		const el = box();
		render(<LedgerLine ledger={{ data: { totals: { ...totals, ...t }, generations }, error: null, fresh: false, again: () => {} }} open={false} onToggle={() => {}} />, el);
		return el.querySelector<HTMLElement>(".ledger")!;
	};
	it("reads as a sum", () => {
		const el = show({});
		expect(el.querySelector(".sum")!.textContent).toBe("read 12,345=parsed 12,300+failed 45+filtered 0=stored 12,345·lost 0");
		expect(el.dataset["verdict"]).toBe("ok");
	});
	it("says what is on its way", () => expect(show({ stored: 12000 }).dataset["verdict"]).toBe("flight"));
	it("names missing bytes", () => {
		const g = { missing: [[1024, 2048]] } as unknown as NonNullable<Ledger["generations"]>[number];
		const el = show({ missing_bytes: 1024 }, [g]);
		expect(el.dataset["verdict"]).toBe("lost");
		expect(el.textContent).toContain("lost 1.0 KiB in 1 range: 1,024–2,048");
	});
});
