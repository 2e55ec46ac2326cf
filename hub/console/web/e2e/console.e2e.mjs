// The page in a real browser:
//   HUB_URL=http://127.0.0.1:7070/login?token=... npm run e2e
// HUB_URL is the hub's one-time link; the hub must be receiving a few lines a
// second from a source whose records have fields. Without it the stand-in of
// mock.mjs is used. SHOTS names a folder for a picture of each step that fails.

import { launch } from "./browser.mjs";
import { start } from "./mock.mjs";

const mock = process.env.HUB_URL ? null : await start({ rate: 12 });
const link = process.env.HUB_URL ?? mock.link;
const origin = new URL(link).origin;
const patience = Number(process.env.PATIENCE_MS ?? 20_000);

const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
const page = await context.newPage();
page.setDefaultTimeout(patience);

const complaints = [];
let expectRefusals = true;
page.on("console", (m) => {
	if (m.type() !== "error" && !/Content.Security.Policy/i.test(m.text())) return;
	// The browser itself reports each refused request; some refusals are what a check asks for.
	if (expectRefusals && /Failed to load resource.*\b40[01]\b/.test(m.text())) return;
	complaints.push(`${m.type()}: ${m.text()}`);
});
page.on("pageerror", (e) => complaints.push(`exception: ${e.message}`));
page.on("request", (r) => {
	if (new URL(r.url()).origin !== origin) complaints.push(`request to another host: ${r.url()}`);
});
await page.addInitScript(() => {
	globalThis.violations = [];
	document.addEventListener("securitypolicyviolation", (e) => globalThis.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
});

let passed = 0;
let failed = 0;
async function check(name, body) {
	try {
		await body();
		passed++;
		console.log(`ok   ${name}`);
	} catch (e) {
		failed++;
		console.log(`FAIL ${name}\n     ${String(e.message ?? e).split("\n").slice(0, 4).join("\n     ")}`);
		if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/fail-${failed}.png` }).catch(() => {});
	}
}

function must(condition, message) {
	if (!condition) throw new Error(message);
}

/** Waits until the function, run in the page, returns something true; returns that. */
const until = async (f, arg, message) => {
	try {
		return await (await page.waitForFunction(f, arg, { timeout: patience, polling: 100 })).jsonValue();
	} catch {
		throw new Error(message);
	}
};

const number = (text) => Number(text.replace(/[^\d]/g, ""));
const rows = page.locator(".row");
// Where a part of the nth line is. Lines come faster than a pointer can follow one of
// them: like a person, a check presses on whichever line is there by then.
const place = (n, part) => page.evaluate(([n, part]) => {
	const row = document.querySelectorAll(".row")[n];
	const line = row.querySelector(".line").getBoundingClientRect();
	// Whole pixels: a drag between fractions of them selects nothing.
	return { x: Math.round(row.querySelector(part).getBoundingClientRect().left), y: Math.round(line.top + line.height / 2) };
}, [n, part]);
const total = async () => number(await page.locator(".histogram .total b").innerText());
// A new question marks the old answer as stale at the next frame; settled means
// that its own answer is there.
const settled = async () => {
	await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
	await until(() => !document.querySelector(".stale"), null, "the page did not settle");
};
const ask = async (query) => {
	await page.fill("#query", query);
	await page.press("#query", "Enter");
	await settled();
};
const clear = async () => {
	if (await page.locator('[aria-label="Clear the query"]').count()) await page.click('[aria-label="Clear the query"]');
	await settled();
};

await check("without a session the page explains the one-time link", async () => {
	await page.goto(`${origin}/`);
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

await check("the one-time link signs in", async () => {
	await page.goto(link);
	await page.locator(".query").waitFor();
	must(new URL(page.url()).pathname === "/" && !page.url().includes("token"), `the address is ${page.url()}`);
	expectRefusals = false;
});

await check("the link works once only", async () => {
	const other = await browser.newContext();
	const answer = await other.request.get(link, { maxRedirects: 0 });
	await other.close();
	must(answer.status() === 401, `the second use got status ${answer.status()}`);
});

await check("log lines appear", async () => {
	await rows.first().waitFor();
	await until(() => document.querySelectorAll(".row").length >= 5, null, "fewer than 5 lines");
	must(/^\d\d/.test(await rows.first().locator("time").innerText()), "a line without a time");
	must((await rows.first().locator(".msg").innerText()).trim() !== "", "a line without a message");
});

await check("only the lines on the screen are in the document", async () => {
	const n = await rows.count();
	must(n < 120, `${n} rows in the document`);
});

await check("the histogram has bars", async () => {
	await page.locator(".plot canvas").waitFor();
	must((await total()) > 0, "the histogram counts no lines");
	const painted = await page.evaluate(() => {
		const canvas = document.querySelector(".plot canvas");
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
		const seen = new Set();
		for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
		return seen.size;
	});
	must(painted > 2, "nothing is painted");
});

await check("the ledger line balances", async () => {
	// Verdict and figures at one moment: at the next, lines may be on their way again.
	const text = await until(() => document.querySelector('.ledger[data-verdict="ok"] .sum')?.innerText, null, "the ledger does not balance");
	const n = (name) => number(new RegExp(`${name}\\s+([\\d,]+)`).exec(text)?.[1] ?? "x");
	must(n("read") > 0 && n("read") === n("parsed") + n("failed") + n("filtered"), text);
	must(n("stored") + n("filtered") === n("read") && n("lost") === 0, text);
});

await check("the ledger opens file by file", async () => {
	await page.click(".ledger");
	await page.locator(".ledger-panel tbody tr").first().waitFor();
	must((await page.locator(".ledger-panel .strip .read").count()) > 0, "no byte ranges shown");
	await page.keyboard.press("Escape");
	must((await page.locator(".ledger-panel").count()) === 0, "Escape does not close it");
});

await check("the live tail moves", async () => {
	await page.locator(".conn.live").waitFor();
	const before = await rows.first().getAttribute("id");
	await until((id) => document.querySelector(".row")?.id !== id, before, "no new line came in time");
});

await check("the live tail pauses on scrolling, and counts", async () => {
	await page.locator(".list").hover();
	await page.mouse.wheel(0, 480);
	await page.locator("button.pill:not(.warn)").waitFor();
	const seen = () => page.evaluate(() => {
		const list = document.querySelector(".list").getBoundingClientRect();
		return [...document.querySelectorAll(".row")].filter((r) => r.getBoundingClientRect().top >= list.top && r.getBoundingClientRect().top < list.bottom - 60).map((r) => `${r.id}@${Math.round(r.getBoundingClientRect().top)}`).join();
	});
	const before = await seen();
	await until(() => /^\d[\d,]* new line/.test(document.querySelector("button.pill:not(.warn)")?.innerText ?? ""), null, "nothing is counted");
	must((await seen()) === before, "the lines moved while paused");
});

await check("resume goes to the newest line and moves on", async () => {
	await page.click("button.pill:not(.warn)");
	await page.locator("button.pill:not(.warn)").waitFor({ state: "detached" });
	must((await page.locator(".list").evaluate((el) => el.scrollTop)) === 0, "the list is not at its top");
	const before = await rows.first().getAttribute("id");
	await until((id) => document.querySelector(".row")?.id !== id, before, "the tail stands still");
});

await check("selecting text pauses the tail", async () => {
	const { x, y } = await place(2, ".msg");
	await page.mouse.move(x + 4, y);
	await page.mouse.down();
	await page.mouse.move(x + 124, y, { steps: 4 });
	await page.mouse.up();
	must((await page.evaluate(() => getSelection().toString())) !== "", "nothing is selected");
	must((await page.locator(".details").count()) === 0, "selecting opens the line");
	await page.locator("button.pill:not(.warn)").waitFor();
	await page.evaluate(() => getSelection().removeAllRanges());
	await page.locator("button.pill:not(.warn)").waitFor({ state: "detached" });
});

await check("a search narrows", async () => {
	await settled();
	const all = await total();
	const word = await page.evaluate(() => {
		const counts = new Map();
		// As it is written: a search tells capital letters from small ones.
		const lines = [...document.querySelectorAll(".row .msg")].map((m) => m.innerText);
		for (const line of lines) for (const w of new Set(line.match(/(?<![\w.])[A-Za-z]{4,}(?![\w.])/g) ?? [])) counts.set(w, (counts.get(w) ?? 0) + 1);
		return [...counts].filter(([, n]) => n < lines.length * 0.8).sort((a, b) => b[1] - a[1])[0]?.[0];
	});
	must(word, "no word to search for");
	await ask(word);
	await until(() => document.querySelector(".row"), null, `"${word}" finds nothing`);
	const found = await total();
	must(found > 0 && found < all, `"${word}": ${found} of ${all}`);
	must(decodeURIComponent(new URL(page.url()).hash).includes(word), "the address does not carry the query");
	must((await page.locator(".row mark").count()) > 0, "the word is not marked");
	await page.goBack();
	await settled();
	must((await page.inputValue("#query")) === "", "Back does not return to the query before");
});

await check("a broken query says why, under the query", async () => {
	expectRefusals = true;
	await page.fill("#query", '"open');
	await page.press("#query", "Enter");
	await page.locator(".query-error").waitFor();
	must((await page.locator(".query-error p").innerText()).length > 5, "no reason given");
	await clear();
	await rows.first().waitFor();
	must((await page.locator(".query-error").count()) === 0, "the error stays");
	expectRefusals = false;
});

await check("a click on a facet adds a filter, a second one removes it", async () => {
	await settled();
	const all = await total();
	const facet = page.locator(".facet").filter({ has: page.locator("li:nth-child(2) .value") }).first().locator("li:nth-child(2) .value");
	const field = await facet.getAttribute("data-field");
	await facet.click();
	await page.locator(".query .chip.filter").waitFor();
	await settled();
	const found = await total();
	must(found > 0 && found < all, `${field}: ${found} of ${all}`);
	must(decodeURIComponent(new URL(page.url()).hash.replace(/\+/g, " ")).includes(`:="`), page.url());
	await page.locator(".facet li.in .value").click();
	await page.locator(".query .chip.filter").waitFor({ state: "detached" });
	await settled();
});

await check("a Shift-click on a facet leaves lines out", async () => {
	const facet = page.locator(".facet").filter({ has: page.locator("li:nth-child(2) .value") }).first().locator("li:nth-child(1) .value");
	await facet.click({ modifiers: ["Shift"] });
	await page.locator(".query .chip.filter.not").waitFor();
	await settled();
	await rows.first().waitFor();
	await clear();
});

await check("a click on a line shows its fields", async () => {
	const { x, y } = await place(3, "time");
	await page.mouse.click(x + 20, y);
	const details = page.locator(".details").first();
	await details.waitFor();
	must((await details.locator("tr").count()) >= 4, "too few fields");
	must(/byte/.test(await details.locator(".where").innerText()), "no byte range");
	await page.locator("button.pill:not(.warn)").waitFor();
});

await check("the lines around it come from its file, with itself among them", async () => {
	await page.getByRole("button", { name: "Surrounding lines" }).first().click();
	await page.locator(".surrounding li.here").waitFor();
	must((await page.locator(".surrounding li").count()) > 1, "no lines around it");
	const offsets = (await page.locator(".surrounding .off").allInnerTexts()).map(number);
	must(offsets.every((n, i) => i === 0 || n > offsets[i - 1]), `not in file order: ${offsets}`);
});

await check("a field of a line becomes a filter", async () => {
	await page.locator(".details .tools button").first().click();
	await page.locator(".query .chip.filter").waitFor();
	await settled();
	await rows.first().waitFor();
	await clear();
});

await check("dragging over the bars chooses a time range", async () => {
	await settled();
	const plot = await page.locator(".plot .u-over").boundingBox();
	await page.mouse.move(plot.x + plot.width * 0.55, plot.y + 40);
	await page.mouse.down();
	await page.mouse.move(plot.x + plot.width * 0.85, plot.y + 40, { steps: 6 });
	await page.mouse.up();
	await page.locator('.custom[aria-pressed="true"]').waitFor();
	must(/from=.*to=/.test(page.url()), page.url());
	await page.click("text=15m");
	await page.locator(".conn.live").waitFor();
});

await check("the keyboard reaches everything that matters", async () => {
	await settled();
	await rows.first().waitFor();
	await page.evaluate(() => document.activeElement?.blur());
	await page.keyboard.press("/");
	must((await page.evaluate(() => document.activeElement.id)) === "query", "/ does not reach the query");
	await page.keyboard.press("Escape");
	await page.keyboard.press("j");
	await page.keyboard.press("j");
	await page.keyboard.press("Enter");
	await page.locator(".details").waitFor();
	await page.keyboard.press("g");
	await page.locator(".details").waitFor({ state: "detached" });
	await page.keyboard.press("?");
	await page.locator(".help").waitFor();
	await page.keyboard.press("Escape");
	await page.locator(".help").waitFor({ state: "detached" });
});

await check("log text never becomes markup", async () => {
	must((await page.locator(".list img, .list script, .list a").count()) === 0, "an element came out of log text");
});

await check("the page stays within its window", async () => {
	for (const [width, height] of [[1400, 900], [900, 700], [640, 700]]) {
		await page.setViewportSize({ width, height });
		// The chart follows the new width a frame or two later.
		await until(() => document.documentElement.scrollWidth <= innerWidth, null, `the page is too wide at ${width}x${height}`);
	}
	await page.setViewportSize({ width: 1400, height: 900 });
});

await check("no errors, no policy violations, no requests elsewhere", async () => {
	const violations = await page.evaluate(() => globalThis.violations);
	must(violations.length === 0, violations.join("\n"));
	must(complaints.length === 0, complaints.slice(0, 5).join("\n"));
	const policy = (await context.request.get(`${origin}/`)).headers()["content-security-policy"] ?? "";
	const scripts = /script-src[^;]*/.exec(policy)?.[0] ?? /default-src[^;]*/.exec(policy)?.[0] ?? "";
	must(/'self'/.test(scripts) && !/unsafe|\*|https?:/.test(scripts), `the policy is "${policy}"`);
});

await browser.close();
mock?.stop();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
