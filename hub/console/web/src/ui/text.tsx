import { mark, visible } from "../logic/format";

/** Text from a log: as text, never as markup, with everything invisible made visible. */
export function LogText({ text, words }: { text: string; words?: string[] }) {
	const pieces = mark(visible(text), words ?? []);
	if (pieces.length === 1 && pieces[0]!.kind === "plain") return <>{pieces[0]!.text}</>;
	return <>{pieces.map((p, i) => (p.kind === "plain" ? p.text : p.kind === "mark" ? <mark key={i}>{p.text}</mark> : <span key={i} class="esc">{p.text}</span>))}</>;
}

/** The same for places that take a string. */
export function shown(text: string): string {
	return visible(text).map((p) => p.text).join("");
}
