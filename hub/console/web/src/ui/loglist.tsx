import { Component, type ComponentChildren } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { clock, count, day } from "../logic/format";
import { levelTag } from "../logic/level";
import { type Row, baseName, chips } from "../logic/record";
import { indexAt, topOf } from "../logic/virtual";
import { useHeld, usePress } from "./hooks";
import { LogText, shown as plain } from "./text";

interface Props {
	/** The newest last; shown newest first. */
	rows: readonly Row[];
	words: string[];
	/** Fields worth a chip, the best first. */
	chipFields: string[];
	/** Whether rows show their file, because there is more than one. */
	showFile: boolean;
	/** Changes with the question: the list goes back to its top. */
	question: string;
	/** Told whether somebody reads: scrolled away, selected text, or opened a row. */
	onReading: (reading: boolean) => void;
	/** Changes when the list should move on: rows close, the selection goes, the top shows. */
	resumed: number;
	onBottom: () => void;
	details: (row: Row) => ComponentChildren;
	footer: ComponentChildren;
}

const rowHeight = 24;
const overscan = 12;

/** The lines. Only those on the screen are in the document. */
export function LogList(props: Props) {
	const { question, resumed } = props;
	const [pressing, press] = usePress();
	const rows = useHeld(props.rows, pressing);
	const scroller = useRef<HTMLDivElement>(null);
	const [view, setView] = useState({ top: 0, height: 800 });
	const [open, setOpen] = useState<ReadonlyMap<number, number>>(new Map()); // row id → height of its details
	const [cursor, setCursor] = useState<number | null>(null);
	// Going from line to line by key: the lines must not run away meanwhile.
	const [walking, setWalking] = useState(false);
	const n = rows.length;
	const today = day(Date.now());
	const dated = n > 0 && day(rows[0]!.time) !== today || n > 0 && day(rows[n - 1]!.time) !== today;

	const tall = useMemo(() => {
		if (open.size === 0) return [];
		const out: { index: number; extra: number }[] = [];
		rows.forEach((r, i) => {
			const extra = open.get(r.id);
			if (extra !== undefined) out.push({ index: n - 1 - i, extra });
		});
		return out.sort((a, b) => a.index - b.index);
	}, [open, rows]);

	useEffect(() => {
		const el = scroller.current!;
		const measure = (): void => setView({ top: el.scrollTop, height: el.clientHeight });
		const watch = new ResizeObserver(measure);
		watch.observe(el);
		el.addEventListener("scroll", measure, { passive: true });
		return () => {
			watch.disconnect();
			el.removeEventListener("scroll", measure);
		};
	}, []);

	const selecting = useSelection(scroller);
	const reading = view.top > 4 || selecting || open.size > 0 || walking || pressing;
	// Before anything else can happen: lines that come in between would push away what is read.
	useLayoutEffect(() => props.onReading(reading), [reading]);

	// What is open or chosen may be missing from a new answer; then nobody reads it.
	useLayoutEffect(() => {
		if (open.size === 0 && cursor === null) return;
		const here = new Set(rows.map((r) => r.id));
		if ([...open.keys()].some((id) => !here.has(id))) setOpen(new Map([...open].filter(([id]) => here.has(id))));
		if (cursor !== null && !here.has(cursor)) {
			setCursor(null);
			setWalking(false);
		}
	}, [rows, open, cursor]);

	useLayoutEffect(() => {
		setOpen(new Map());
		setCursor(null);
		setWalking(false);
		const selection = getSelection();
		if (selection?.anchorNode && scroller.current?.contains(selection.anchorNode)) selection.removeAllRanges();
		scroller.current!.scrollTop = 0;
		setView((was) => ({ ...was, top: 0 }));
	}, [question, resumed]);

	const total = topOf(n, rowHeight, tall);
	const from = Math.max(0, indexAt(view.top, rowHeight, tall) - overscan);
	const to = Math.min(n, indexAt(view.top + view.height, rowHeight, tall) + 1 + overscan);
	useEffect(() => {
		if (n > 0 && view.top > 0 && view.top + view.height > total - 40 * rowHeight) props.onBottom();
	}, [view, total, n]);

	const toggle = useCallback((id: number) => {
		setOpen((was) => {
			const next = new Map(was);
			if (!next.delete(id)) next.set(id, 240);
			return next;
		});
		setCursor(id);
	}, []);
	const measured = useCallback((id: number, height: number) => {
		setOpen((was) => (was.get(id) === height || !was.has(id) ? was : new Map(was).set(id, height)));
	}, []);

	const keys = (e: KeyboardEvent): void => {
		if (e.target !== e.currentTarget || e.ctrlKey || e.metaKey || e.altKey) return;
		const found = rows.findIndex((r) => r.id === cursor);
		const at = found < 0 ? -1 : n - 1 - found;
		const go = (i: number): void => {
			const index = Math.max(0, Math.min(n - 1, i));
			const row = rows[n - 1 - index];
			if (!row) return;
			setCursor(row.id);
			setWalking(true);
			const el = scroller.current!;
			const top = topOf(index, rowHeight, tall);
			if (top < el.scrollTop) el.scrollTop = top;
			else if (top + rowHeight > el.scrollTop + el.clientHeight) el.scrollTop = top + rowHeight - el.clientHeight;
		};
		if (e.key === "j" || e.key === "ArrowDown") go(at + 1);
		else if (e.key === "k" || e.key === "ArrowUp") go(at - 1);
		else if ((e.key === "Enter" || e.key === " ") && cursor !== null) toggle(cursor);
		else if (e.key === "Escape" && (open.size > 0 || walking)) {
			setOpen(new Map());
			setWalking(false);
		}
		else return;
		e.preventDefault();
	};

	const shown = [];
	for (let i = from; i < to; i++) {
		const row = rows[n - 1 - i]!;
		const expanded = open.has(row.id);
		shown.push(
			<div key={row.id} class={`row lv-${row.level}${expanded ? " open" : ""}${cursor === row.id ? " cursor" : ""}`} id={`row-${row.id}`} role="listitem" style={{ transform: `translateY(${topOf(i, rowHeight, tall)}px)` }}>
				<Line row={row} dated={dated} words={props.words} chipFields={props.chipFields} showFile={props.showFile} expanded={expanded} onToggle={toggle} />
				{expanded && <Measured id={row.id} onHeight={measured}>{props.details(row)}</Measured>}
			</div>,
		);
	}
	return (
		<div
			class={`list${dated ? " dated" : ""}`}
			ref={scroller}
			role="list"
			aria-label={`Log lines, newest first: ${count(n)} loaded`}
			aria-activedescendant={cursor === null ? undefined : `row-${cursor}`}
			tabIndex={0}
			id="lines"
			onKeyDown={keys}
			onPointerDown={press}
		>
			<div class="canvas" style={{ height: `${total}px` }}>{shown}</div>
			{props.footer}
		</div>
	);
}

interface LineProps {
	row: Row;
	dated: boolean;
	words: string[];
	chipFields: string[];
	showFile: boolean;
	expanded: boolean;
	onToggle: (id: number) => void;
}

/** Renders again only when something it shows has changed: scrolling must stay cheap. */
class Line extends Component<LineProps> {
	override shouldComponentUpdate(next: LineProps): boolean {
		const { props } = this;
		return (Object.keys(next) as (keyof LineProps)[]).some((k) => next[k] !== props[k]);
	}

	override render() {
		return line(this.props);
	}
}

function line({ row, dated, words, chipFields, showFile, expanded, onToggle }: LineProps) {
	const path = row.fields["__path__"];
	const press = (e: MouseEvent): void => {
		const selection = getSelection();
		if (selection && !selection.isCollapsed && (e.currentTarget as Node).contains(selection.anchorNode)) return;
		onToggle(row.id);
	};
	return (
		<div class="line" onClick={press}>
			<button type="button" class="expand" tabIndex={-1} aria-expanded={expanded} aria-label={expanded ? "Hide fields" : "Show all fields"}>
				<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="m6 4 4 4-4 4" /></svg>
			</button>
			<time title={`${row.fields["_time"] ?? ""}\nUTC; the list shows local time`}>{row.time > 0 && <>{dated && <span class="day">{day(row.time)} </span>}{clock(row.time)}</>}</time>
			<span class="level">{levelTag[row.level]}</span>
			<span class="msg">
				{row.pairs
					? row.pairs.map(([k, v]) => <span key={k} class="pair"><span class="k"><LogText text={k} words={words} />=</span><LogText text={v} words={words} />{" "}</span>)
					: <LogText text={row.line} words={words} />}
			</span>
			{chips(row, chipFields, 3).map(([k, v]) => <span key={k} class="chip small" title={`${k} = ${plain(v)}`}><b>{k}</b><LogText text={v} /></span>)}
			{showFile && path && <span class="chip small file" title={path}><LogText text={baseName(path)} /></span>}
		</div>
	);
}

function Measured({ id, onHeight, children }: { id: number; onHeight: (id: number, height: number) => void; children: ComponentChildren }) {
	const box = useRef<HTMLDivElement>(null);
	useLayoutEffect(() => {
		const el = box.current!;
		const tell = (): void => onHeight(id, el.offsetHeight);
		tell();
		const watch = new ResizeObserver(tell);
		watch.observe(el);
		return () => watch.disconnect();
	}, [id]);
	return <div ref={box}>{children}</div>;
}

// True while text inside the element is selected.
function useSelection(box: { current: HTMLElement | null }): boolean {
	const [on, set] = useState(false);
	useEffect(() => {
		const look = (): void => {
			const s = getSelection();
			set(s !== null && !s.isCollapsed && s.anchorNode !== null && box.current !== null && box.current.contains(s.anchorNode));
		};
		document.addEventListener("selectionchange", look);
		return () => document.removeEventListener("selectionchange", look);
	}, []);
	return on;
}
