// What several parts of the page need from Preact.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api";

export interface Polled<T> {
	data: T | null;
	error: ApiError | null;
	/** True until the first answer to the present question. */
	fresh: boolean;
	again: () => void;
}

/**
 * Asks, and asks again after each answer, while the page is visible. A new `key` is a new
 * question: the old answer stays on show until the new one is there. `every` of 0 asks once.
 */
export function usePoll<T>(ask: (signal: AbortSignal) => Promise<T>, key: string, every: number): Polled<T> {
	const [state, set] = useState<{ data: T | null; error: ApiError | null; key: string }>({ data: null, error: null, key: "" });
	const latest = useRef(ask);
	latest.current = ask;
	const wake = useRef(() => {});
	useEffect(() => {
		const run = new AbortController();
		let timer = 0;
		let busy = false;
		const turn = async (): Promise<void> => {
			if (busy || run.signal.aborted) return;
			clearTimeout(timer);
			busy = true;
			let failed = false;
			try {
				const data = await latest.current(run.signal);
				if (!run.signal.aborted) set({ data, error: null, key });
			} catch (e) {
				failed = true;
				const error = e instanceof ApiError ? e : new ApiError(0, "", "The hub's answer could not be read.");
				// What was shown does not belong to a question that was refused.
				if (!run.signal.aborted) set((s) => ({ data: error.status === 400 ? null : s.data, error, key }));
			}
			busy = false;
			if (run.signal.aborted || document.hidden) return;
			if (every > 0) timer = window.setTimeout(turn, failed ? Math.max(every, 5000) : every);
		};
		const shown = (): void => {
			if (!document.hidden && every > 0) void turn();
		};
		wake.current = () => void turn();
		document.addEventListener("visibilitychange", shown);
		void turn();
		return () => {
			run.abort();
			clearTimeout(timer);
			document.removeEventListener("visibilitychange", shown);
		};
	}, [key, every]);
	const again = useCallback(() => wake.current(), []);
	return { data: state.data, error: state.error, fresh: state.key !== key, again };
}

/** Closes a pop-up on Escape or on a press outside of it. */
export function useDismiss(open: boolean, close: () => void): { current: HTMLDivElement | null } {
	const box = useRef<HTMLDivElement | null>(null);
	const latest = useRef(close);
	latest.current = close;
	// Before the browser paints, so that a key pressed at once is not missed.
	useLayoutEffect(() => {
		if (!open) return;
		const key = (e: KeyboardEvent): void => {
			if (e.key === "Escape") {
				e.stopPropagation();
				latest.current();
			}
		};
		const press = (e: PointerEvent): void => {
			const at = e.target as Element;
			// The button that opened it closes it by itself.
			if (box.current && !box.current.contains(at) && !at.closest("[aria-haspopup][aria-expanded=true]")) latest.current();
		};
		document.addEventListener("keydown", key, true);
		document.addEventListener("pointerdown", press);
		return () => {
			document.removeEventListener("keydown", key, true);
			document.removeEventListener("pointerdown", press);
		};
	}, [open]);
	return box;
}

/** True from a press of the main button until after its click; the second value begins it. */
export function usePress(): [boolean, (e: PointerEvent) => void] {
	const [on, set] = useState(false);
	const presses = useRef(0);
	const begin = useCallback((e: PointerEvent) => {
		if (e.button !== 0) return;
		const mine = ++presses.current;
		set(true);
		const listening = new AbortController();
		const release = (): void => {
			listening.abort();
			// After the click; by then the next press may have begun.
			setTimeout(() => mine === presses.current && set(false));
		};
		for (const name of ["pointerup", "pointercancel", "contextmenu"]) addEventListener(name, release, { signal: listening.signal });
	}, []);
	return [on, begin];
}

/** The value, or while it is held the one from before: what moves between press and release gets no click. */
export function useHeld<T>(value: T, held: boolean): T {
	const kept = useRef(value);
	if (!held) kept.current = value;
	return kept.current;
}

/** Copies text; false if the browser does not let it. */
export async function copyText(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		// Over plain HTTP from another machine there is no clipboard to write to, but the old way works.
	}
	const box = document.createElement("textarea");
	box.className = "sr";
	box.value = text;
	const focused = document.activeElement as HTMLElement | null;
	document.body.append(box);
	box.select();
	const done = document.execCommand("copy");
	box.remove();
	focused?.focus({ preventScroll: true });
	return done;
}
