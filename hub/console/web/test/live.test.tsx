// The page as a whole, with lines that move: what somebody presses, chooses or opens must stay where it is.

import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { App } from "../src/app";
import type { Fields } from "../src/logic/record";

vi.mock("uplot", () => ({ default: class { static paths = { bars: () => null }; setSize() {} setData() {} setScale() {} batch() {} redraw() {} destroy() {} } }));

const record = (n: number): Fields => ({ _time: new Date(1_790_000_000_000 + n).toISOString(), _msg: `line ${n}`, content: `line ${n}`, __wt_generation__: "g", __wt_offset__: String(n), __path__: "/x.log" });
const records = (from: number, to: number): Fields[] => Array.from({ length: to - from }, (_, i) => record(from + i));

/** A hub whose answers are written here, and whose tail sends when told to. */
class Hub {
	lines: Fields[] = records(0, 40);
	away = false;
	queries = 0;
	/** Resolves the answers that are held back. */
	private held: (() => void)[] | null = null;
	private tail: ReadableStreamDefaultController<Uint8Array> | null = null;

	readonly fetch = async (url: string): Promise<Response> => {
		if (this.away) throw new TypeError("no answer");
		const name = /^\/api\/v1\/(\w+)/.exec(url)![1]!;
		if (name === "tail") return new Response(new ReadableStream<Uint8Array>({ start: (c) => void (this.tail = c) }));
		if (name === "query") {
			this.queries++;
			if (this.held) await new Promise<void>((resolve) => this.held!.push(resolve));
			return new Response(this.lines.slice().reverse().map((r) => JSON.stringify(r)).join("\n"));
		}
		return Response.json({ hits: [], facets: [], logstores: [{ project: "p", logstore: "s", records: 1, bytes: 1, last: "" }], totals: { read_records: 1, parsed: 1, failed: 0, filtered: 0, stored: 1, repeated: 0, read_bytes: 1, missing_bytes: 0 }, generations: [] });
	};

	send(lines: Fields[]): void {
		this.tail!.enqueue(new TextEncoder().encode(`event: logs\ndata: ${JSON.stringify(lines)}\n\n`));
	}

	hold(): void {
		this.held = [];
	}

	release(): void {
		for (const go of this.held ?? []) go();
		this.held = null;
	}
}

let hub: Hub;
let app: HTMLElement;
const $ = <T extends HTMLElement>(selector: string): T => app.querySelector<T>(selector)!;
const top = (): string => $(".row .msg")?.textContent ?? "";
const row = (text: string): HTMLElement | undefined => [...app.querySelectorAll<HTMLElement>(".row")].find((r) => r.querySelector(".msg")!.textContent === text);
const fire = (at: EventTarget, type: string): boolean => at.dispatchEvent(new PointerEvent(type, { bubbles: true, button: 0 }));
const key = (name: string): boolean => $("#lines").dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const click = (at: HTMLElement): void => {
	fire(at, "pointerdown");
	fire(at, "pointerup");
	at.click();
};
/** All that is under way but timers: answers, rendering. */
const answers = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
const moment = (): Promise<unknown> => vi.advanceTimersByTimeAsync(200);

beforeEach(async () => {
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "requestAnimationFrame", "cancelAnimationFrame"] });
	hub = new Hub();
	vi.stubGlobal("fetch", hub.fetch);
	history.replaceState(null, "", "/");
	app = document.createElement("div");
	document.body.append(app);
	render(<App />, app);
	await moment();
	expect(top()).toBe("line 39");
});
afterEach(() => {
	render(null, app);
	app.remove();
	vi.unstubAllGlobals();
	vi.useRealTimers();
});

describe("the live tail", () => {
	it("moves", async () => {
		hub.send(records(40, 50));
		await moment();
		expect(top()).toBe("line 49");
	});
	it("does not push away a line that is opened while others have arrived", async () => {
		hub.send(records(40, 200)); // more than the screen holds
		await answers();
		expect(top()).toBe("line 39");
		click(row("line 36")!.querySelector<HTMLElement>("time")!);
		await moment();
		expect(top()).toBe("line 39");
		expect(row("line 36")!.querySelector(".details")).not.toBeNull();
		expect($("button.pill").textContent).toBe("160 new lines — resume");
		$("button.pill").click();
		await moment();
		expect(top()).toBe("line 199");
		expect(app.querySelector(".details, button.pill")).toBeNull();
	});
	it("does not push away a line that is chosen by key", async () => {
		key("j");
		await answers();
		hub.send(records(40, 200));
		await moment();
		key("j");
		await answers();
		key("Enter");
		await moment();
		expect(row("line 38")!.querySelector(".details")).not.toBeNull();
	});
	it("stands still from press to release, and moves on when nothing came of it", async () => {
		fire(row("line 36")!, "pointerdown");
		hub.send(records(40, 50));
		await moment();
		expect(top()).toBe("line 39");
		fire(app, "pointerup");
		await moment();
		expect(top()).toBe("line 49");
	});
	it("notices a release that follows at once", async () => {
		fire(row("line 36")!, "pointerdown");
		await Promise.resolve(); // no frame in between
		fire(app, "pointerup");
		await moment();
		hub.send(records(40, 50));
		await moment();
		expect(top()).toBe("line 49");
	});
	it("stands still for a press that comes before the last one is over", async () => {
		fire(row("line 36")!, "pointerdown");
		fire(app, "pointerup");
		fire(row("line 36")!, "pointerdown");
		await moment();
		hub.send(records(40, 50));
		await moment();
		expect(top()).toBe("line 39");
		fire(app, "pointerup");
		await moment();
		expect(top()).toBe("line 49");
	});
	it("does not wait for what a second button began", async () => {
		row("line 36")!.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, button: 2 }));
		hub.send(records(40, 50));
		await moment();
		expect(top()).toBe("line 49");
	});
});

describe("a hub that is away", () => {
	it("is asked again as soon as it answers", async () => {
		hub.away = true;
		$("form.query").dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true }));
		await vi.advanceTimersByTimeAsync(10_000);
		expect($("[role=alert]").textContent).toContain("The hub does not answer");
		hub.away = false;
		hub.lines = records(100, 140);
		await vi.advanceTimersByTimeAsync(10_000);
		expect(app.querySelector("[role=alert]")).toBeNull();
		expect(top()).toBe("line 139");
		expect($(".conn").textContent).toContain("live");
	});
});

describe("the help", () => {
	it("opens and closes by its button, and closes by a press on anything else", async () => {
		const button = $('[aria-label="Query syntax and keys"]');
		for (const there of [true, false, true]) {
			click(button);
			await moment();
			expect(app.querySelector(".help") !== null).toBe(there);
		}
		fire($(".live-button"), "pointerdown");
		await moment();
		expect(app.querySelector(".help")).toBeNull();
	});
});

describe("a new question", () => {
	const askAgain = (): void => void $("form.query").dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true }));
	it("marks the old lines as such at once", async () => {
		hub.hold();
		askAgain();
		await Promise.resolve();
		await Promise.resolve();
		expect($(".lines").className).toContain("stale");
		hub.release();
		await moment();
		expect($(".lines").className).not.toContain("stale");
	});
	it("leaves a line open that its answer has too", async () => {
		hub.hold();
		askAgain();
		await answers();
		click(row("line 36")!.querySelector<HTMLElement>("time")!);
		await answers();
		hub.release();
		await moment();
		expect(row("line 36")!.querySelector(".details")).not.toBeNull();
	});
	it("does not stand still for an open line that its answer lacks", async () => {
		hub.hold();
		askAgain();
		await answers();
		click(row("line 36")!.querySelector<HTMLElement>("time")!);
		await answers();
		hub.lines = records(100, 140);
		hub.release();
		await moment();
		expect(top()).toBe("line 139");
		expect(app.querySelector("button.pill")).toBeNull();
		hub.send(records(140, 150));
		await moment();
		expect(top()).toBe("line 149");
	});
});
