import type { MappingWarning } from '../domain/membership.ts';

export type Difference = Extract<MappingWarning, { kind: 'near-miss' }>['difference'];

/** Finds the names that differ from a given one only in case, Unicode form or edge space (R16). */
export type NearMissIndex = (name: string) => readonly string[];

/** More neighbours than these say nothing more, and would multiply. */
const maxNeighbours = 3;

/** Built at the first lookup: most logins need none. Deterministic: the neighbours come in code unit order. */
export function createNearMissIndex(names: () => Iterable<string>): NearMissIndex {
  let index: Map<string, string[]> | undefined;
  return (name) => {
    index ??= indexByFold(names());
    const neighbours = index.get(fold(name));
    return neighbours ? neighbours.filter((neighbour) => neighbour !== name).slice(0, maxNeighbours) : [];
  };
}

/** In which ways two names differ that fold to the same; an administrator has to mend each of them. */
export function differencesBetween(left: string, right: string): Difference[] {
  const [leftText, rightText] = [left.trim(), right.trim()];
  const sameLetters = normal(leftText) === normal(rightText);
  const differences: Difference[] = [];
  if (!sameLetters) differences.push('case');
  if (sameLetters ? leftText !== rightText : leftText.toUpperCase() !== rightText.toUpperCase()) differences.push('unicode-form');
  if (left.replace(leftText, '|') !== right.replace(rightText, '|')) differences.push('edge-space');
  return differences;
}

function indexByFold(names: Iterable<string>): Map<string, string[]> {
  const index = new Map<string, string[]>();
  for (const name of new Set(names)) {
    const key = fold(name);
    const others = index.get(key);
    if (others) others.push(name);
    else index.set(key, [name]);
  }
  for (const neighbours of index.values()) neighbours.sort();
  return index;
}

function fold(name: string): string {
  return normal(normal(name).toUpperCase());
}

/** Compatibility form: also finds full-width letters, ligatures and odd spaces. ASCII, which is most names, is in that form already. */
function normal(text: string): string {
  const core = text.trim();
  return /^[ -~]*$/.test(core) ? core : core.normalize('NFKC').trim();
}
