// Server-sent events over fetch: unlike EventSource it tells a refused session from
// a lost connection, and lets the page decide when to try again.

export interface SSEvent {
	event: string;
	data: string;
}

/** Cuts a stream of text into events. One parser for each connection. */
export class EventParser {
	private rest = "";
	private event = "";
	private data: string[] = [];

	/** Takes the next piece of the stream, returns the events it completes. */
	feed(text: string): SSEvent[] {
		const out: SSEvent[] = [];
		const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
		this.rest = lines.pop() ?? "";
		for (const line of lines) {
			if (line === "") {
				if (this.data.length > 0) out.push({ event: this.event || "message", data: this.data.join("\n") });
				this.event = "";
				this.data = [];
			} else if (!line.startsWith(":")) {
				const colon = line.indexOf(":");
				const name = colon < 0 ? line : line.slice(0, colon);
				const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
				if (name === "event") this.event = value;
				else if (name === "data") this.data.push(value);
			}
		}
		return out;
	}
}
