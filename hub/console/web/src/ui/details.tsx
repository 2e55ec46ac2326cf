import { useEffect, useState } from "preact/hooks";
import * as api from "../api";
import { bytes, clock, count } from "../logic/format";
import type { Filter } from "../logic/query";
import { type Fields, type Row, byteRange, detailFields, filterName } from "../logic/record";
import { copyText } from "./hooks";
import { LogText } from "./text";

interface Props {
	row: Row;
	project: string;
	filters: Filter[];
	onToggle: (f: Filter) => void;
}

/** Everything about one record. */
export function Details({ row, project, filters, onToggle }: Props) {
	const { own, meta } = detailFields(row.fields);
	const [lines, setLines] = useState(false);
	const [copied, setCopied] = useState("");
	const place = byteRange(row.fields);
	const path = row.fields["__path__"];
	const copy = (what: string, text: string): void => {
		void copyText(text).then((done) => setCopied(done ? what : "failed"));
	};
	useEffect(() => {
		if (!copied) return;
		const t = setTimeout(() => setCopied(""), copied === "failed" ? 5000 : 1500);
		return () => clearTimeout(t);
	}, [copied]);
	return (
		<div class="details">
			<div class="origin">
				{path && (
					<span class="where">
						<b><LogText text={path} /></b>
						{place && (place.end === null
							? <> from byte {count(place.start)}</>
							: <> bytes {count(place.start)}–{count(place.end)} <small>({bytes(place.end - place.start)})</small></>)}
						{row.fields["__hostname__"] && <> on <b>{row.fields["__hostname__"]}</b></>}
					</span>
				)}
				<span class="actions">
					<span class="problem" role="status">{copied === "failed" && "The browser does not let this page copy."}</span>
					{row.key && <button type="button" aria-expanded={lines} onClick={() => setLines(!lines)}>Surrounding lines</button>}
					<button type="button" onClick={() => copy("line", row.fields["content"] ?? row.fields["_msg"] ?? "")}>{copied === "line" ? "Copied" : "Copy line"}</button>
					<button type="button" onClick={() => copy("json", JSON.stringify(row.fields, null, 2))}>{copied === "json" ? "Copied" : "Copy JSON"}</button>
				</span>
			</div>
			{lines && <Surrounding row={row} project={project} />}
			<table>
				<tbody>
					{own.map(([name, value]) => <FieldLine key={name} name={name} by={filterName(row.fields, name)} value={value} filters={filters} onToggle={onToggle} />)}
				</tbody>
				{meta.length > 0 && (
					<tbody class="meta">
						{meta.map(([name, value]) => <FieldLine key={name} name={name} by={name} value={value} filters={filters} onToggle={onToggle} />)}
					</tbody>
				)}
			</table>
		</div>
	);
}

function FieldLine({ name, by, value, filters, onToggle }: { name: string; by: string; value: string; filters: Filter[]; onToggle: (f: Filter) => void }) {
	const state = filters.find((f) => f.field === by && f.value === value);
	const filterable = name !== "_time";
	return (
		<tr>
			<td class="tools">
				{filterable && (
					<>
						<button type="button" aria-pressed={state?.exclude === false} aria-label={`Only lines where ${name} is this`} title="Only lines with this value" onClick={() => onToggle({ field: by, value, exclude: false })}>+</button>
						<button type="button" aria-pressed={state?.exclude === true} aria-label={`No lines where ${name} is this`} title="Leave out lines with this value" onClick={() => onToggle({ field: by, value, exclude: true })}>−</button>
					</>
				)}
			</td>
			<th scope="row"><LogText text={name} /></th>
			<td class="val"><LogText text={value} /></td>
		</tr>
	);
}

/** The lines before and after, as they stand in the file. */
function Surrounding({ row, project }: { row: Row; project: string }) {
	const [reach, setReach] = useState({ before: 10, after: 10 });
	const [state, setState] = useState<{ records: Fields[]; error: string } | null>(null);
	const generation = row.fields["__wt_generation__"] ?? "";
	const offset = row.fields["__wt_offset__"] ?? "";
	useEffect(() => {
		const run = new AbortController();
		api.context(project, generation, offset, reach.before, reach.after, run.signal).then(
			(records) => setState({ records, error: "" }),
			(e: unknown) => {
				if (!run.signal.aborted) setState({ records: [], error: e instanceof Error ? e.message : "No answer." });
			},
		);
		return () => run.abort();
	}, [project, generation, offset, reach.before, reach.after]);
	if (!state) return <div class="surrounding wait">Reading…</div>;
	if (state.error) return <div class="surrounding problem">{state.error}</div>;
	return (
		<div class="surrounding">
			<button type="button" class="more" onClick={() => setReach((r) => ({ ...r, before: r.before + 20 }))}>20 more before</button>
			<ol>
				{state.records.map((r) => {
					const here = r["__wt_offset__"] === offset;
					return (
						<li key={`${r["__wt_offset__"]}`} class={here ? "here" : ""} aria-current={here ? "true" : undefined}>
							<span class="off" title="Byte offset in the file">{count(Number(r["__wt_offset__"] ?? 0))}</span>
							<span class="time">{clock(Date.parse(r["_time"] ?? ""))}</span>
							<span class="txt"><LogText text={r["content"] ?? r["_msg"] ?? ""} /></span>
						</li>
					);
				})}
			</ol>
			<button type="button" class="more" onClick={() => setReach((r) => ({ ...r, after: r.after + 20 }))}>20 more after</button>
		</div>
	);
}
