// How serious a record is, from its fields if they say so, else from its text.

export type Level = "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "none";

/** Fields that carry a level, the best first. */
export const levelFields = ["level", "severity", "severity_text", "log_level", "loglevel", "lvl", "log.level"];
/** Fields that carry an HTTP status. */
export const statusFields = ["status", "status_code", "http_status", "response_status", "http.response.status_code"];

const names: Record<string, Level> = {
	emerg: "fatal", emergency: "fatal", alert: "fatal", crit: "fatal", critical: "fatal", fatal: "fatal", panic: "fatal", dpanic: "fatal", f: "fatal",
	err: "error", error: "error", severe: "error", e: "error", failure: "error",
	warn: "warn", warning: "warn", w: "warn", wrn: "warn",
	info: "info", information: "info", informational: "info", notice: "info", log: "info", i: "info", inf: "info",
	debug: "debug", dbg: "debug", fine: "debug", d: "debug", config: "debug",
	trace: "trace", finest: "trace", finer: "trace", verbose: "trace", t: "trace",
};

// Numbers of syslog (0-7) and of pino and bunyan (10-60).
function numbered(n: number): Level {
	if (n <= 2 || n >= 60) return "fatal";
	if (n === 3 || n >= 50) return "error";
	if (n === 4 || n >= 40) return "warn";
	if (n <= 6 || n >= 30) return "info";
	return n >= 20 || n === 7 ? "debug" : "trace";
}

/** The level a field's value names, or "none". */
export function levelOfValue(value: string): Level {
	const v = value.trim().toLowerCase();
	if (/^\d{1,2}$/.test(v)) return numbered(Number(v));
	return (Object.hasOwn(names, v) && names[v]) || "none";
}

/** The level an HTTP status stands for: 5xx is an error, 4xx a warning, the others say nothing. */
export function levelOfStatus(value: string): Level {
	if (!/^[1-5]\d\d$/.test(value)) return "none";
	if (value >= "500") return "error";
	return value >= "400" ? "warn" : "none";
}

// A level in capitals as a word of its own, or in any case where the punctuation
// says that it is one: [warn], level=warn, "warn:" at the start.
const capitals = /\b(EMERG|ALERT|CRIT|CRITICAL|FATAL|PANIC|ERROR|ERR|SEVERE|WARN|WARNING|INFO|NOTICE|DEBUG|TRACE)\b/;
const marked = /(?:^|[\s{,])"?(?:level|lvl|severity)"?\s*[=:]\s*"?([A-Za-z]+)|\[(?:[a-z]+:)?(emerg|alert|crit|fatal|error|warn|warning|info|notice|debug|trace)\]|^(fatal|panic|error|warning|warn|info|debug)(?=:)/i;
const klog = /^([IWEF])\d{4} \d\d:\d\d:\d\d/;

/** The level that a line of text shows near its start, or "none". */
export function levelOfText(text: string): Level {
	const head = text.slice(0, 200).replace(/\x1b\[[0-9;]*m/g, " ").trimStart();
	const m = klog.exec(head) ?? marked.exec(head) ?? capitals.exec(head);
	const word = m?.[1] ?? m?.[2] ?? m?.[3];
	return word ? levelOfValue(word) : "none";
}

/** The level of a record. */
export function levelOf(record: Record<string, string>): Level {
	for (const name of levelFields) {
		const value = record[name];
		if (value) {
			const level = levelOfValue(value);
			if (level !== "none") return level;
		}
	}
	for (const name of statusFields) {
		const value = record[name];
		if (value) {
			const level = levelOfStatus(value);
			if (level !== "none") return level;
		}
	}
	return levelOfText(record["_msg"] ?? "");
}

/** What the list writes in the level column: at most four letters. */
export const levelTag: Record<Level, string> = { fatal: "FATL", error: "ERR", warn: "WARN", info: "info", debug: "dbg", trace: "trc", none: "" };
