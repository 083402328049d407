import type { ExpiringStore } from './expiring-store.ts';
import type { Log } from './log.ts';
import type { SealedBox } from './sealed-box.ts';

/**
 * Keeps values sealed to their keys in a store that others may reach. A pending login, its outcome or an authorization code that somebody
 * else wrote would sign them in as whomever they like; what this instance did not write for exactly this key counts as absent. Sealing
 * takes 6 µs and opening 4, about 0.1 ms a login.
 *
 * What remains for somebody who can write there: to delete values, and to put back what stood at the same key.
 */
export function createSealedStore(deps: {
  readonly store: ExpiringStore;
  readonly sealedBox: SealedBox;
  readonly log: Log;
}): ExpiringStore {
  const { store, sealedBox, log } = deps;
  const seal = (key: string, value: string) => sealedBox.seal(value, contextOf(key));

  function open(key: string, sealed: string | null): string | null {
    if (sealed === null) return null;
    try {
      return sealedBox.open(sealed, contextOf(key));
    } catch (error) {
      log.warn({ err: error }, 'a short-lived value in Redis was refused');
      return null;
    }
  }

  return {
    set: (key, value, ttlSeconds) => store.set(key, seal(key, value), ttlSeconds),
    add: (key, value, ttlSeconds) => store.add(key, seal(key, value), ttlSeconds),
    get: async (key) => open(key, await store.get(key)),
    take: async (key) => open(key, await store.take(key)),
    delete: (key) => store.delete(key),
  };
}

function contextOf(key: string): string {
  return `expiring/${key}`;
}
