/**
 * Finds everything filed under any prefix of a text.
 *
 * The prefixes stand in code unit order, each with the longest other one that it starts with. Any prefix of a text lies on the
 * chain of the last entry that is not greater than the text, so a lookup is one binary search and a walk up that chain: O(log n
 * + matches).
 */
export function createPrefixIndex<Value>(entries: readonly { readonly prefix: string; readonly value: Value }[]) {
  const valuesByPrefix = Map.groupBy(entries, ({ prefix }) => prefix);
  const prefixes = [...valuesByPrefix.keys()].sort();
  const values = prefixes.map((prefix) => valuesByPrefix.get(prefix)?.map(({ value }) => value) ?? []);
  const shorter = linkToShorter(prefixes);

  // Texts mostly come in order: then the next one is near the last one. Only speed depends on it.
  let near = 0;

  return (text: string, visit: (value: Value) => void): void => {
    let at = lastNotGreater(prefixes, text, near);
    near = Math.max(at, 0);
    while (at !== -1 && !text.startsWith(prefixes[at] as string)) at = shorter[at] as number;
    for (; at !== -1; at = shorter[at] as number) {
      for (const value of values[at] as readonly Value[]) visit(value);
    }
  };
}

/** For each prefix the position of the longest one that it starts with, or -1. */
function linkToShorter(sorted: readonly string[]): number[] {
  const open: number[] = [];
  return sorted.map((prefix, position) => {
    while (open.length > 0 && !prefix.startsWith(sorted[open.at(-1) as number] as string)) open.pop();
    const link = open.at(-1) ?? -1;
    open.push(position);
    return link;
  });
}

/** @param near where to begin: from there the steps double until they pass the text, then halve */
function lastNotGreater(sorted: readonly string[], text: string, near: number): number {
  const isGreater = (position: number) => (sorted[position] as string) > text;
  let [low, high] = [0, sorted.length];
  if (near < high && !isGreater(near)) {
    low = near + 1;
    for (let step = 1; low + step < high; step *= 2) {
      if (isGreater(low + step)) high = low + step;
      else low += step + 1;
    }
  }
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isGreater(middle)) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}
