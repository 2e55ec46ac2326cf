import { useRef, useState } from "preact/hooks";
import type { Facet } from "../api";
import { count, shortCount } from "../logic/format";
import { levelFields, levelOfStatus, levelOfValue, statusFields } from "../logic/level";
import type { Filter } from "../logic/query";
import { baseName, messageFields } from "../logic/record";
import { useHeld, usePress } from "./hooks";
import { LogText, shown } from "./text";

interface Props {
	facets: Facet[] | null;
	/** Why there are none. */
	problem: string;
	/** Changes with the question; until then fields keep their places. */
	question: string;
	filters: Filter[];
	stale: boolean;
	onToggle: (f: Filter) => void;
}

const names: Record<string, string> = { _msg: "message", _logstore: "logstore", __path__: "file", __hostname__: "host", __topic__: "topic", __source__: "source" };

/** Names of fields as the page shows them. */
export function displayName(field: string): string {
	return names[field] ?? field;
}

function useful(f: Facet): boolean {
	// Many values that hardly repeat are identifiers and measurements: nothing to choose from.
	if (f.values.length >= 5 && f.values.every((v) => v.hits <= 2)) return false;
	return f.values.length > 0 && !messageFields.includes(f.field) && f.field !== "_msg" && (!f.field.startsWith("_") || Object.hasOwn(names, f.field));
}

/** Fields with few values, and how often each occurs. A click filters, with Shift or Alt it excludes. */
export function Facets({ facets: latest, problem, question, filters, stale, onToggle }: Props) {
	const [pressing, press] = usePress();
	const facets = useHeld(latest, pressing);
	const places = useRef<{ question: string; fields: string[] }>({ question: "", fields: [] });
	const useable = (facets ?? []).filter(useful);
	const own = useable.filter((f) => !f.field.startsWith("_"));
	const meta = useable.filter((f) => f.field.startsWith("_"));
	if (!stale && facets) {
		const fields = [...own, ...meta].map((f) => f.field);
		const before = places.current.question === question ? places.current.fields : [];
		places.current = { question, fields: [...before, ...fields.filter((f) => !before.includes(f))] };
	}
	const rank = (f: Facet): number => places.current.fields.indexOf(f.field);
	const sorted = [...useable].sort((a, b) => rank(a) - rank(b));
	return (
		<nav class={`facets${stale ? " stale" : ""}`} aria-label="Fields" onPointerDown={press}>
			{facets && sorted.length === 0 && <p class="nothing">Fields with few values appear here, with how often each occurs.</p>}
			{sorted.map((f) => <Field key={f.field} facet={f} filters={filters} onToggle={onToggle} />)}
			{!facets && problem && <p class="nothing">{problem}</p>}
			{!facets && !problem && Array.from({ length: 4 }, (_, i) => <div key={i} class="skeleton" aria-hidden="true"><i /><i /><i /></div>)}
		</nav>
	);
}

function Field({ facet, filters, onToggle }: { facet: Facet; filters: Filter[]; onToggle: (f: Filter) => void }) {
	const [open, setOpen] = useState(true);
	const [all, setAll] = useState(false);
	const most = Math.max(1, ...facet.values.map((v) => v.hits));
	const values = all ? facet.values : facet.values.slice(0, 5);
	return (
		<section class="facet">
			<h3>
				<button type="button" aria-expanded={open} onClick={() => setOpen(!open)} title={facet.field}>
					<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="m6 4 4 4-4 4" /></svg>
					{displayName(facet.field)}
				</button>
			</h3>
			{open && (
				<ul>
					{values.map((v) => {
						const state = filters.find((f) => f.field === facet.field && f.value === v.value);
						return (
							<li key={v.value} class={state ? (state.exclude ? "out" : "in") : ""}>
								<button
									type="button"
									class="value"
									aria-pressed={state !== undefined}
									title={`${shown(v.value)}\n${count(v.hits)} lines\nClick to keep only these, Shift or Alt to leave them out`}
									data-field={facet.field}
									onClick={(e) => onToggle(state ?? { field: facet.field, value: v.value, exclude: e.shiftKey || e.altKey })}
								>
									<i class="bar" aria-hidden="true" style={{ width: `${(v.hits / most) * 100}%` }} />
									<span class="name">{dot(facet.field, v.value)}<LogText text={label(facet.field, v.value)} /></span>
									<span class="hits">{shortCount(v.hits)}</span>
								</button>
								<button type="button" class="exclude" tabIndex={-1} aria-label={`Leave out ${v.value}`} title="Leave these out" onClick={() => onToggle({ field: facet.field, value: v.value, exclude: true })}>−</button>
							</li>
						);
					})}
					{facet.values.length > 5 && (
						<li><button type="button" class="more" onClick={() => setAll(!all)}>{all ? "fewer" : `${facet.values.length - 5} more`}</button></li>
					)}
				</ul>
			)}
		</section>
	);
}

function label(field: string, value: string): string {
	if (value === "") return "(empty)";
	return field === "__path__" ? baseName(value) : value;
}

function dot(field: string, value: string) {
	const level = levelFields.includes(field) ? levelOfValue(value) : statusFields.includes(field) ? levelOfStatus(value) : null;
	return level && <i class={`dot lv-${level}`} aria-hidden="true" />;
}
