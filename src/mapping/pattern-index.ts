import { RE2Set } from 're2js';
import type { MatchingBudget } from './matching-budget.ts';
import { isUnindexed, type Pattern } from './pattern.ts';
import { createPrefixIndex } from './prefix-index.ts';

interface Entry<Value> {
  readonly pattern: Pattern;
  readonly value: Value;
}

/** Bounds the automaton that RE2 keeps for one mapping. */
const maxAutomatonBytes = 1_048_576;

/**
 * Finds the patterns that match a name without trying them all: by their literal start, else by their literal end; what has
 * neither goes into one RE2 set, which reads the name once for all of them.
 *
 * Cost for a name: O(log patterns) for each index, RE2 for the patterns that it brings up, one RE2 pass for the set.
 */
export function createPatternIndex<Value>(entries: readonly Entry<Value>[]) {
  const unindexed = entries.filter(({ pattern }) => isUnindexed(pattern));
  const indexed = entries.filter(({ pattern }) => !isUnindexed(pattern));
  const bySuffix = indexed.filter(({ pattern }) => pattern.prefix === '' && pattern.suffix !== '');
  const byPrefix = indexed.filter(({ pattern }) => pattern.prefix !== '' || pattern.suffix === '');
  const findByPrefix = createPrefixIndex(byPrefix.map((entry) => ({ prefix: entry.pattern.prefix, value: entry })));
  const findBySuffix = createPrefixIndex(bySuffix.map((entry) => ({ prefix: reversed(entry.pattern.suffix), value: entry })));
  const set = unindexed.length > 0 ? createSet(unindexed) : null;

  return (name: string, budget: MatchingBudget, visit: (value: Value) => void): void => {
    const tryOne = ({ pattern, value }: Entry<Value>) => {
      budget.spendInstructions(pattern.instructions, name);
      if (pattern.test(name)) visit(value);
    };
    if (byPrefix.length > 0) findByPrefix(name, tryOne);
    if (bySuffix.length > 0) findBySuffix(reversed(name), tryOne);
    if (set) {
      budget.spendInstructions(set.instructions, name);
      for (const position of set.match(name)) visit((unindexed[position] as Entry<Value>).value);
    }
  };
}

function createSet(entries: readonly Entry<unknown>[]) {
  const set = new RE2Set(RE2Set.ANCHOR_BOTH, 0, maxAutomatonBytes);
  for (const { pattern } of entries) set.add(pattern.expression);
  set.compile();
  const instructions = entries.reduce((sum, { pattern }) => sum + pattern.instructions, 0);
  return { instructions, match: (name: string) => set.match(name) };
}

/** By code units: what matters is only that prefixes and names are turned alike. */
function reversed(text: string): string {
  let turned = '';
  for (let at = text.length - 1; at >= 0; at -= 1) turned += text[at];
  return turned;
}
