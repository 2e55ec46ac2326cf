import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const dist = fileURLToPath(new URL("../dist", import.meta.url));

export default defineConfig({
	base: "/",
	oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
	build: {
		outDir: dist,
		// The folder also holds what lets the hub compile without the console, so
		// only the files of an earlier build are removed, not everything.
		emptyOutDir: false,
		target: "es2022",
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		reportCompressedSize: true,
	},
	plugins: [
		{
			name: "remove-earlier-build",
			apply: "build",
			buildStart: () => rm(`${dist}/assets`, { recursive: true, force: true }),
		},
	],
	test: {
		environment: "happy-dom",
		include: ["test/**/*.test.{ts,tsx}"],
	},
});
