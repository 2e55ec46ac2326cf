import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Hits } from "../api";
import { count, duration, shortCount, stamp } from "../logic/format";
import { useHeld, usePress } from "./hooks";
import { type Bars, seriesMax, stack } from "../logic/series";

interface Props {
	hits: Hits[] | null;
	start: number;
	end: number;
	step: number;
	field: string;
	/** Fields to group by. */
	choices: string[];
	onField: (field: string) => void;
	onSelect: (start: number, end: number) => void;
	stale: boolean;
	problem: string;
}

const height = 112;

// The chart library is as large as the rest of the page, so it comes beside it:
// the lines need not wait for the bars.
const library = import("uplot");

/** Bars of hits over time. Dragging over them chooses a time range. */
export function Histogram(props: Props) {
	// The bars stand still while somebody drags over them.
	const [pressing, press] = usePress();
	const { hits, start, end, step, field } = useHeld(props, pressing);
	const bars = useMemo(() => stack(hits ?? [], start, end, step, field), [hits, start, end, step, field]);
	const box = useRef<HTMLDivElement>(null);
	const chart = useRef<Chart | null>(null);
	const [at, setAt] = useState<number | null>(null);
	const [drawn, ready] = useState(false);
	const select = useRef(props.onSelect);
	select.current = props.onSelect;
	useEffect(() => {
		let gone = false;
		void library.then((lib) => {
			if (gone || !box.current) return;
			chart.current = new Chart(lib.default, box.current, setAt, (a, b) => select.current(a, b));
			ready(true);
		});
		return () => {
			gone = true;
			chart.current?.destroy();
		};
	}, []);
	useEffect(() => chart.current?.show(bars, start, end, step), [drawn, bars, start, end, step]);
	const time = at === null ? undefined : bars.times[at];
	return (
		<section class={`histogram${props.stale ? " stale" : ""}`} aria-label={`Lines over time: ${count(bars.total)} lines`}>
			<header>
				<span class="total">
					{time === undefined || at === null
						? <><b>{hits ? count(bars.total) : "\u00a0"}</b> {hits ? (bars.total === 1 ? "line" : "lines") : ""}{props.problem && <em class="problem"> {props.problem}</em>}</>
						: <><b>{count(bars.series.reduce((n, s) => n + (s.values[at] ?? 0), 0))}</b> at {stamp(time, step < 60_000)}</>}
				</span>
				<ul class="legend">
					{field !== "" && bars.series.slice().reverse().map((s) => (
						<li key={s.name}><i class={`tone-${s.tone}`} aria-hidden="true" />{s.name} <span>{shortCount(at === null ? s.total : s.values[at] ?? 0)}</span></li>
					))}
				</ul>
				<span class="hint">{duration(step)} per bar · drag to zoom</span>
				<label>by <select value={field} onChange={(e) => props.onField(e.currentTarget.value)} aria-label="Group bars by">
					<option value="">nothing</option>
					{field !== "" && !props.choices.includes(field) && <option value={field}>{field}</option>}
					{props.choices.map((c) => <option key={c} value={c}>{c}</option>)}
				</select></label>
			</header>
			<div class="plot" ref={box} onPointerDown={press} />
		</section>
	);
}

/** Owns the canvas; lives as long as its element. */
class Chart {
	private plot: uPlot;
	private tones: string[] = [];
	private step = 1000;
	private readonly resize: ResizeObserver;
	private readonly theme = matchMedia("(prefers-color-scheme: dark)");

	constructor(Plot: typeof uPlot, private readonly box: HTMLElement, hover: (i: number | null) => void, select: (a: number, b: number) => void) {
		const paths = Plot.paths.bars!({ size: [0.86, 64], align: 1, gap: 0, radius: 0 });
		const axis = { stroke: () => this.color("--dim"), font: "11px system-ui, sans-serif", ticks: { show: false } };
		this.plot = new Plot({
			width: Math.max(100, box.clientWidth),
			height,
			padding: [6, 10, 0, 0],
			legend: { show: false },
			cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 4 } },
			scales: { x: { time: true, range: (_u, a, b) => [a, b] }, y: { range: (_u, _a, max) => [0, Math.max(4, max * 1.08)] } },
			axes: [
				{ ...axis, size: 22, grid: { show: false }, space: 90, values: (_u, splits, _i, _s, incr) => splits.map((t) => axisTime(t * 1000, incr)) },
				{ ...axis, size: 46, space: 28, grid: { stroke: () => this.color("--line"), width: 1 }, values: (_u, splits) => splits.map((n) => (Number.isInteger(n) ? shortCount(n) : "")) },
			],
			series: [{}, ...Array.from({ length: seriesMax }, (_, i): uPlot.Series => ({
				paths,
				points: { show: false },
				fill: () => this.color(`--tone-${this.tones[i] ?? "none"}`),
				stroke: () => "transparent",
				width: 0,
			}))],
			hooks: {
				setCursor: [(u) => hover(this.barAt(u))],
				setSelect: [(u) => {
					if (u.select.width < 4) return;
					const a = u.posToVal(u.select.left, "x") * 1000;
					const b = u.posToVal(u.select.left + u.select.width, "x") * 1000;
					u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
					const from = Math.floor(a / this.step) * this.step;
					select(from, Math.max(from + this.step, Math.ceil(b / this.step) * this.step));
				}],
			},
		}, [[], ...Array.from({ length: seriesMax }, () => [])] as uPlot.AlignedData, box);
		this.resize = new ResizeObserver(() => this.plot.setSize({ width: Math.max(100, box.clientWidth), height }));
		this.resize.observe(box);
		this.theme.addEventListener("change", this.redraw);
	}

	show(bars: Bars, start: number, end: number, step: number): void {
		this.step = step;
		// Series lie over each other, so the tallest sum is drawn first.
		const sums: number[][] = [];
		let below = bars.times.map(() => 0);
		for (const s of bars.series) {
			below = below.map((n, i) => n + s.values[i]!);
			sums.unshift(below);
		}
		this.tones = bars.series.map((s) => s.tone).reverse();
		const nothing = bars.times.map(() => null);
		const data = [bars.times.map((t) => t / 1000), ...Array.from({ length: seriesMax }, (_, i) => sums[i] ?? nothing)];
		this.plot.batch(() => {
			this.plot.setData(data as uPlot.AlignedData, false);
			this.plot.setScale("x", { min: start / 1000, max: end / 1000 });
			this.plot.setScale("y", { min: 0, max: bars.max });
		});
		this.plot.redraw(true);
	}

	destroy(): void {
		this.resize.disconnect();
		this.theme.removeEventListener("change", this.redraw);
		this.plot.destroy();
	}

	private readonly redraw = (): void => this.plot.redraw(false);

	private color(name: string): string {
		return getComputedStyle(this.box).getPropertyValue(name).trim() || "#888";
	}

	private barAt(u: uPlot): number | null {
		const left = u.cursor.left ?? -1;
		const first = u.data[0][0];
		if (left < 0 || first === undefined) return null;
		const i = Math.floor((u.posToVal(left, "x") - first) / (this.step / 1000));
		return i >= 0 && i < u.data[0].length ? i : null;
	}
}

function axisTime(ms: number, increment: number): string {
	const text = stamp(ms, true);
	if (increment >= 86400) return text.slice(5, 10);
	if (text.endsWith("00:00:00")) return text.slice(5, 10);
	return increment < 60 ? text.slice(11) : text.slice(11, 16);
}
