import type { AppGroup } from '../domain/group-sync.ts';
import { createNearMissIndex, type NearMissIndex } from './near-miss.ts';

/** The app groups of one workspace, ready to be looked up by name. */
export interface CompiledCatalogue {
  readonly find: (name: string) => AppGroup | undefined;
  readonly nearMisses: NearMissIndex;
}

/**
 * Never fails, whatever the app pushed. A group with a role's name is found nowhere, because roles go first (R18); of two groups
 * with one name, which the store refuses, the one with the lowest id counts, whatever their order.
 *
 * Cost: O(groups), about 0.2 µs each; the near-miss index is built when it is first needed.
 */
export function compileCatalogue(groups: readonly AppGroup[]): CompiledCatalogue {
  const byName = new Map<string, AppGroup>();
  for (const group of groups) {
    const other = byName.get(group.name);
    if (!other || group.groupId < other.groupId) byName.set(group.name, group);
  }
  return { find: (name) => byName.get(name), nearMisses: createNearMissIndex(() => byName.keys()) };
}
