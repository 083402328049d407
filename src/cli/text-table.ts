/** Where a command shows what it found. */
export interface Screen {
  readonly out: (text: string) => void;
  readonly isTerminal?: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Paint {
  readonly gain: (text: string) => string;
  readonly loss: (text: string) => string;
  readonly strong: (text: string) => string;
}

/** Colours for a terminal, none for a file or pipe, nor with NO_COLOR (no-color.org: whatever its value, unless empty). */
export function paintFor({ isTerminal = false, env }: Pick<Screen, 'isTerminal' | 'env'>): Paint {
  const colourful = isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
  const paint = (code: number) => (text: string) => (colourful && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { gain: paint(32), loss: paint(31), strong: paint(1) };
}

/** A cell: its text, and how it is painted once its width is known. */
export type Cell = string | { readonly text: string; readonly paint: (text: string) => string };

/** Columns as wide as their widest cell, without spaces at the ends of lines. */
export function renderTable(head: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint): string {
  const textOf = (cell: Cell) => printable(typeof cell === 'string' ? cell : cell.text);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => textOf(row[column] ?? '').length)));
  const line = (cells: readonly Cell[], last: number) =>
    cells
      .map((cell, column) => {
        const text = textOf(cell);
        const padding = column === last ? '' : ' '.repeat((widths[column] ?? 0) - text.length);
        return `${typeof cell === 'string' ? text : cell.paint(text)}${padding}`;
      })
      .join('  ')
      .trimEnd();
  const last = head.length - 1;
  const titles = head.map((title) => ({ text: title, paint: paint.strong }));
  return `${[titles, ...rows].map((cells) => line(cells, last)).join('\n')}\n`;
}

/** Names come from identity providers: a control character in one could move the cursor of whoever reads it, or hide a line. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}
