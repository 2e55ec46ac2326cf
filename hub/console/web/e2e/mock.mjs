// A stand-in for the hub with made-up logs, to work on the page without one:
//   npm run build && npm run demo
// MODE=empty shows a hub that has never received anything, MODE=lost one with
// missing bytes. RATE is lines a second, PORT the port. It understands only as
// much of the query language as the page's own tests need.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const dist = fileURLToPath(new URL("../../dist", import.meta.url));
const csp = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const pick = (list) => list[Math.floor(Math.random() ** 1.6 * list.length)];
const hex = (n) => Array.from({ length: n }, () => Math.floor(Math.random() * 16).toString(16)).join("");

const newSources = () => [
	{ path: "/var/log/nginx/access.log", host: "web-1", logstore: "nginx", weight: 6, make: access },
	{ path: "/var/log/nginx/access.log", host: "web-2", logstore: "nginx", weight: 4, make: access },
	{ path: "/srv/shop/logs/checkout.log", host: "web-1", logstore: "shop", weight: 5, make: shop },
	{ path: "/var/log/syslog", host: "web-1", logstore: "system", weight: 1, make: system },
].map((s) => ({ ...s, generation: hex(16), agent: hex(32), offset: 0, counts: { parsed: 0, failed: 0, filtered: 0, batches: 0 }, first: "" }));

function access() {
	const method = pick(["GET", "GET", "GET", "POST", "PUT", "DELETE"]);
	const path = pick(["/api/v1/items", "/api/v1/cart", "/static/app.js", "/healthz", "/api/v1/checkout", "/login", "/img/logo.svg", "/api/v1/items/48213"]);
	const status = pick(["200", "200", "200", "200", "304", "200", "404", "302", "500", "502"]);
	const ip = `10.2.${Math.floor(Math.random() * 4)}.${Math.floor(Math.random() * 250)}`;
	const f = { remote_addr: ip, method, path, status, bytes: String(Math.floor(Math.random() * 30000)), request_time: (Math.random() ** 4 * 3).toFixed(3), user_agent: pick(["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "kube-probe/1.31"]) };
	return { raw: `${ip} - - "${method} ${path} HTTP/1.1" ${status} ${f.bytes}`, fields: f };
}

function shop() {
	const level = pick(["info", "info", "info", "debug", "warn", "error"]);
	const order = Math.floor(Math.random() * 90000) + 10000;
	const message = {
		debug: `cache miss for cart ${order}`,
		info: pick([`order ${order} placed`, `payment authorised for order ${order}`, `cart ${order} updated`]),
		warn: pick([`payment gateway slow: 2.${order % 10} s`, "retrying stock reservation, attempt 2 of 5"]),
		error: pick([`payment declined for order ${order}: card_expired`, "stock service: connection refused\n\tat Stock.reserve (stock.ts:81:13)\n\tat async Checkout.run (checkout.ts:42:9)"]),
	}[level];
	const fields = { level, message, service: pick(["checkout", "stock", "payment"]), region: pick(["eu-central", "us-east"]), trace_id: hex(16) };
	return { raw: JSON.stringify(fields), fields };
}

function system() {
	const content = pick([
		"web-1 systemd[1]: Started Daily apt download activities.",
		"web-1 sshd[2211]: Accepted publickey for deploy from 10.0.0.7 port 51122",
		"web-1 kernel: [UFW BLOCK] IN=eth0 SRC=203.0.113.9 DST=10.0.0.4 PROTO=TCP DPT=23",
		"web-1 app[99]: \x1b[31mERROR\x1b[0m <img src=x onerror=alert(1)> <script>alert(2)</script> \u202egnp.exe",
	]);
	return { raw: content, fields: { content } };
}

const recordsMax = 30_000;

function newWorld() {
	const sources = newSources();
	const wheel = sources.flatMap((s) => Array(s.weight).fill(s));
	return { sources, wheel, records: [], listeners: new Set() };
}

function emit({ records, wheel }, ms) {
	const source = wheel[Math.floor(Math.random() * wheel.length)];
	const { raw, fields } = source.make();
	const failed = Math.random() < 0.004;
	const start = source.offset;
	source.offset += Buffer.byteLength(raw) + 1;
	source.counts[failed ? "failed" : "parsed"]++;
	source.counts.batches++;
	const time = new Date(ms).toISOString().replace("Z", `${String(Math.floor(Math.random() * 1e6)).padStart(6, "0")}Z`);
	source.first ||= time;
	source.last = time;
	const own = failed ? { content: raw, __error__: "json: no match" } : fields;
	const message = own.content ?? own.message ?? Object.entries(own).map(([k, v]) => `${k}=${/[\s"=]/.test(v) ? JSON.stringify(v) : v}`).join(" ");
	const record = {
		_time: time, _msg: message, ...own, _logstore: source.logstore, __hostname__: source.host, __path__: source.path,
		_stream: `{__hostname__="${source.host}"}`, __wt_generation__: source.generation, __wt_offset__: String(start),
	};
	records.push(record);
	if (records.length > recordsMax) records.splice(0, recordsMax / 10);
	return record;
}

// --- a little of the query language

function compile(query) {
	const tokens = query.match(/-?(?:[\w.]+:=)?"(?:[^"\\]|\\.)*"|"|[()]|[^\s()"]+/g) ?? [];
	if (tokens.includes('"')) throw new Error(`cannot parse query [${query}]: missing closing quote`);
	let at = 0;
	const either = () => {
		const parts = [both()];
		while (/^or$/i.test(tokens[at] ?? "")) at++, parts.push(both());
		return (r) => parts.some((p) => p(r));
	};
	const both = () => {
		const parts = [];
		while (at < tokens.length && tokens[at] !== ")" && !/^or$/i.test(tokens[at])) {
			if (/^and$/i.test(tokens[at])) at++;
			else parts.push(one());
		}
		return (r) => parts.every((p) => p(r));
	};
	const one = () => {
		let token = tokens[at++];
		if (token === "(") {
			const inner = either();
			if (tokens[at++] !== ")") throw new Error(`cannot parse query [${query}]: missing ')'`);
			return inner;
		}
		if (token === "*") return () => true;
		if (/^[-!]./.test(token)) {
			tokens[--at] = token.slice(1);
			const inner = one();
			return (r) => !inner(r);
		}
		const exact = /^([\w.]+):=(".*")$/s.exec(token);
		if (exact) {
			const value = JSON.parse(exact[2]);
			return (r) => (r[exact[1]] ?? "") === value;
		}
		const field = /^([\w.]+):(.+)$/.exec(token);
		const text = (field ? field[2] : token.startsWith('"') ? JSON.parse(token) : token).toLowerCase().replace(/\*$/, "");
		return (r) => (r[field ? field[1] : "_msg"] ?? "").toLowerCase().includes(text);
	};
	const match = either();
	if (at < tokens.length) throw new Error(`cannot parse query [${query}]: unexpected '${tokens[at]}'`);
	return match;
}

function select({ records }, url) {
	const p = url.searchParams;
	const match = compile(p.get("query") || "*");
	const start = p.get("start") ? Date.parse(p.get("start")) : Date.now() - 900_000;
	const end = p.get("end") ? Date.parse(p.get("end")) : Date.now();
	const store = p.get("logstore");
	return records.filter((r) => {
		const t = Date.parse(r._time);
		return t >= start && t <= end && (!store || r._logstore === store) && match(r);
	});
}

// --- the API

function routes(mode, world) {
	const { sources, records, listeners } = world;
	return {
		query: (url, res) => {
			const from = Number(url.searchParams.get("offset") ?? 0);
			const found = select(world, url).reverse().slice(from, from + Number(url.searchParams.get("limit") ?? 200));
			res.writeHead(200, { "content-type": "application/x-ndjson" }).end(found.map((r) => JSON.stringify(r)).join("\n"));
		},
		hits: (url) => {
			const step = parseInt(url.searchParams.get("step"), 10) * 1000;
			const field = url.searchParams.get("field");
			const groups = new Map();
			for (const r of select(world, url)) {
				const value = field ? (r[field] ?? "") : "";
				const group = groups.get(value) ?? groups.set(value, new Map()).get(value);
				const t = Math.floor(Date.parse(r._time) / step) * step;
				group.set(t, (group.get(t) ?? 0) + 1);
			}
			return {
				hits: [...groups].map(([value, m]) => ({
					fields: field ? { [field]: value } : {},
					timestamps: [...m.keys()].map((t) => new Date(t).toISOString()),
					values: [...m.values()],
					total: [...m.values()].reduce((a, b) => a + b, 0),
				})),
			};
		},
		facets: (url) => {
			const fields = new Map();
			for (const r of select(world, url)) {
				for (const [k, v] of Object.entries(r)) {
					if (/^(_time|_msg|_stream|__wt_)/.test(k)) continue;
					const values = fields.get(k) ?? fields.set(k, new Map()).get(k);
					values.set(v, (values.get(v) ?? 0) + 1);
				}
			}
			const limit = Number(url.searchParams.get("limit") ?? 10);
			return {
				facets: [...fields].filter(([, m]) => m.size <= 12).sort((a, b) => Math.min(8, b[1].size) - Math.min(8, a[1].size)).map(([field, m]) => ({
					field,
					values: [...m].sort((a, b) => b[1] - a[1]).slice(0, limit).map(([value, hits]) => ({ value, hits })),
				})),
			};
		},
		tail: (url, res) => {
			const match = compile(url.searchParams.get("query") || "*");
			const store = url.searchParams.get("logstore");
			res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
			res.write(": hello\n\n");
			const listener = (batch) => {
				const found = batch.filter((r) => (!store || r._logstore === store) && match(r));
				if (found.length) res.write(`event: logs\ndata: ${JSON.stringify(found)}\n\n`);
			};
			listeners.add(listener);
			res.on("close", () => listeners.delete(listener));
		},
		context: (url) => {
			const p = url.searchParams;
			const same = records.filter((r) => r.__wt_generation__ === p.get("generation"));
			const at = same.findIndex((r) => r.__wt_offset__ === p.get("offset"));
			return { records: same.slice(Math.max(0, at - Number(p.get("before") ?? 10)), at + 1 + Number(p.get("after") ?? 10)) };
		},
		logstores: () => ({
			logstores: mode === "empty" ? [] : [...new Set(sources.map((s) => s.logstore))].map((logstore) => {
				const mine = records.filter((r) => r._logstore === logstore);
				return { project: "default", logstore, records: mine.length, bytes: mine.length * 180, last: mine.at(-1)?._time ?? "" };
			}),
		}),
		ledger: () => {
			const generations = mode === "empty" ? [] : sources.map((s, i) => {
				const hole = mode === "lost" && i === 2 ? [[Math.floor(s.offset * 0.4), Math.floor(s.offset * 0.43)]] : [];
				return {
					agent: s.agent, hostname: s.host, pipeline: s.logstore, project: "default", logstore: s.logstore, path: s.path, generation: s.generation,
					read_bytes: s.offset, ranges: hole.length ? [[0, hole[0][0]], [hole[0][1], s.offset]] : [[0, s.offset]], missing: hole,
					parsed: s.counts.parsed, failed: s.counts.failed, filtered: 0, stored: s.counts.parsed + s.counts.failed, repeated_batches: i === 1 ? 2 : 0, first: s.first, last: s.last,
				};
			});
			const sum = (f) => generations.reduce((n, g) => n + f(g), 0);
			const late = mode === "flight" ? 412 : 0;
			return {
				totals: {
					read_records: sum((g) => g.parsed + g.failed), parsed: sum((g) => g.parsed), failed: sum((g) => g.failed), filtered: 0, stored: sum((g) => g.stored) - late,
					repeated: sum((g) => g.repeated_batches), read_bytes: sum((g) => g.read_bytes), missing_bytes: sum((g) => g.missing.reduce((n, [a, b]) => n + b - a, 0)),
				},
				generations,
			};
		},
		status: () => ({ version: "0.1.0-demo", uptime_seconds: Math.round(process.uptime()), store: "embedded", ingest: {} }),
	};
}

const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** Starts the stand-in. Resolves to its one-time link, and a function that stops it. */
export async function start({ port = 0, mode = "", rate = 8, history = 4000 } = {}) {
	const world = newWorld();
	const api = routes(mode, world);
	const sessions = new Set();
	const tokens = new Set([hex(24)]);
	if (mode !== "empty") {
		const times = Array.from({ length: history }, () => Date.now() - Math.random() * 40 * 60_000).sort((a, b) => a - b);
		for (const t of times) emit(world, t);
	}
	const timer = setInterval(() => {
		if (mode === "empty") return;
		const n = Math.floor(rate / 4 + Math.random());
		const batch = Array.from({ length: n }, () => emit(world, Date.now() - Math.random() * 40)).sort((a, b) => (a._time < b._time ? -1 : 1));
		for (const l of world.listeners) l(batch);
	}, 250);
	const server = createServer(async (req, res) => {
		const url = new URL(req.url, "http://localhost");
		const refuse = (status, code, message) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ error: { code, message } }));
		res.setHeader("content-security-policy", csp);
		res.setHeader("x-content-type-options", "nosniff");
		if (url.pathname === "/login") {
			if (!tokens.delete(url.searchParams.get("token"))) return refuse(401, "Unauthorized", "This link has been used.");
			const id = hex(32);
			sessions.add(id);
			return res.writeHead(303, { location: "/", "set-cookie": `wt_session=${id}; HttpOnly; SameSite=Strict; Path=/` }).end();
		}
		if (url.pathname.startsWith("/api/v1/")) {
			const id = /wt_session=(\w+)/.exec(req.headers.cookie ?? "")?.[1];
			if (!sessions.has(id)) return refuse(401, "Unauthorized", "Sign in first.");
			try {
				const answer = api[url.pathname.slice(8)]?.(url, res);
				if (answer) res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
			} catch (e) {
				refuse(400, "InvalidQuery", e.message);
			}
			return;
		}
		const name = normalize(url.pathname === "/" ? "/index.html" : url.pathname);
		try {
			const body = await readFile(join(dist, name));
			res.writeHead(200, { "content-type": types[extname(name)] ?? "application/octet-stream" }).end(body);
		} catch {
			res.writeHead(404).end();
		}
	});
	await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
	const [token] = tokens;
	return {
		link: `http://127.0.0.1:${server.address().port}/login?token=${token}`,
		stop: () => {
			clearInterval(timer);
			server.closeAllConnections();
			server.close();
		},
	};
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
	const { link } = await start({ port: Number(process.env.PORT ?? 7079), mode: process.env.MODE ?? "", rate: Number(process.env.RATE ?? 8) });
	console.log(`Open ${link}`);
}
