// Which rows of a long list are on the screen, when all have one height but a few opened ones.

export interface Tall {
	index: number;
	/** Height beyond that of an ordinary row. */
	extra: number;
}

/** The top of a row. `tall` is sorted by index. */
export function topOf(index: number, rowHeight: number, tall: readonly Tall[]): number {
	let top = index * rowHeight;
	for (const t of tall) {
		if (t.index >= index) break;
		top += t.extra;
	}
	return top;
}

/** The row at a height from the top of the list. */
export function indexAt(y: number, rowHeight: number, tall: readonly Tall[]): number {
	let shift = 0;
	for (const t of tall) {
		const top = t.index * rowHeight + shift;
		if (y < top) break;
		if (y < top + rowHeight + t.extra) return t.index;
		shift += t.extra;
	}
	return Math.max(0, Math.floor((y - shift) / rowHeight));
}
