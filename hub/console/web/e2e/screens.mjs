// Pictures of the page in both themes and two sizes, from the stand-in:
//   npm run screens -- /tmp/console
import { mkdir } from "node:fs/promises";
import { launch } from "./browser.mjs";
import { start } from "./mock.mjs";

const out = process.argv[2] ?? "screens";
await mkdir(out, { recursive: true });
const browser = await launch();

const scenes = {
	live: { mode: "", act: async () => {} },
	open: { mode: "flight", act: async (p) => {
		await p.locator(".row", { hasText: "order" }).nth(2).locator("time").click();
		await p.getByRole("button", { name: "Surrounding lines" }).click();
		await p.locator(".surrounding li").first().waitFor();
	} },
	filtered: { mode: "lost", act: async (p) => {
		await p.locator('[data-field="_logstore"]', { hasText: "shop" }).click();
		await p.locator('[data-field="level"]', { hasText: "debug" }).click({ modifiers: ["Shift"] });
		await p.fill("#query", "order or payment");
		await p.press("#query", "Enter");
	} },
	ledger: { mode: "lost", act: (p) => p.click(".ledger") },
	paused: { mode: "", act: async (p) => {
		await p.locator(".list").hover();
		await p.mouse.wheel(0, 600);
		await p.waitForTimeout(1500);
	} },
	error: { mode: "", act: async (p) => {
		await p.fill("#query", 'status:500 "open');
		await p.press("#query", "Enter");
	} },
	help: { mode: "", act: (p) => p.keyboard.press("?") },
	none: { mode: "", act: async (p) => {
		await p.fill("#query", "nosuchword");
		await p.press("#query", "Enter");
	} },
	empty: { mode: "empty", act: async () => {} },
	custom: { mode: "", act: (p) => p.click(".custom") },
	signedout: { mode: "", link: (l) => new URL(l).origin, act: async () => {} },
};
const only = process.argv[3]?.split(",");
for (const [name, scene] of Object.entries(scenes)) {
	if (only && !only.includes(name)) continue;
	for (const [width, height] of [[1400, 900], [900, 700]]) {
		for (const colorScheme of ["dark", "light"]) {
			const mock = await start({ mode: scene.mode });
			const page = await browser.newPage({ viewport: { width, height }, colorScheme });
			page.on("pageerror", (e) => console.log(name, e.message));
			await page.goto(scene.link ? scene.link(mock.link) : mock.link);
			await page.waitForTimeout(900);
			await scene.act(page).catch((e) => console.log(name, e.message.split("\n")[0]));
			await page.waitForTimeout(900);
			await page.screenshot({ path: `${out}/${name}-${width}-${colorScheme}.png` });
			await page.close();
			mock.stop();
		}
	}
}
await browser.close();
