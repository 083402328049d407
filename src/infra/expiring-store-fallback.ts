import { createBreaker } from './breaker.ts';
import type { ExpiringStore } from './expiring-store.ts';
import type { PostgresStore } from './expiring-store-postgres.ts';
import type { Log } from './log.ts';

export interface FallbackStoreOptions {
  /** Redis: fast, may be away or lose everything at any moment. */
  readonly first: ExpiringStore;
  /** Postgres: stands in. */
  readonly second: PostgresStore;
  readonly log: Log;
  /** Told of each operation that the second store served in place of the first. */
  readonly onFallback?: (operation: keyof ExpiringStore) => void;
  readonly elapsedMilliseconds?: () => number;
}

const pauseMilliseconds = 1_000;
const knowledgeMilliseconds = 1_000;
/** How long a deletion that the first store did not acknowledge is remembered; the value's own time to live is not known. */
const deletionSeconds = 3_600;
/** A write that hung may be carried out this much later, and its value then lives that much longer. */
const lateSeconds = 300;

/** In the second store: a value, or the mark that the key is gone whatever the first store says. */
const held = (value: string) => `=${value}`;
const gone = '-';

/**
 * Writes go to the first store and, when that gives no answer, to the second.
 *
 * A write without an answer may have been carried out all the same, so that a value stands in both stores; and a first store
 * that was only out of reach comes back with what was overwritten, taken or deleted meanwhile. Therefore, for as long as the
 * second store holds anything alive (every process looks once a second, and the one that wrote knows at once), it is asked before
 * the first: what it holds wins; a taken or deleted key stays there as a mark until the value would have expired. Of any number of
 * takers exactly one gets a value: the second store's row decides while it has one, else the first store's atomic command.
 *
 * What remains: a value that only the first store has is lost to its reader while that is away (a login starts again by itself);
 * a key `add`ed before an outage can be added once more during it, and a taker in another process may for up to a second not know
 * of a mark set at an outage that only the other one saw. What must never happen twice is guarded by rows in Postgres (law 1).
 */
export function createFallbackStore(options: FallbackStoreOptions): ExpiringStore {
  const { first, second, log, onFallback, elapsedMilliseconds = () => performance.now() } = options;
  const breaker = createBreaker({
    pauseMilliseconds,
    elapsedMilliseconds,
    onChange: (state, error) =>
      state === 'failing'
        ? log.warn({ err: error }, 'Redis does not answer: Postgres stands in for short-lived values')
        : log.info('Redis answers again'),
  });
  const secondInUse = createKnowledge(() => second.holdsAnything(), elapsedMilliseconds);

  const standIn = async <T>(operation: keyof ExpiringStore, run: () => Promise<T>): Promise<T> => {
    onFallback?.(operation);
    const result = await run();
    secondInUse.learn();
    return result;
  };

  /** Takes a value that the second store holds and leaves the mark; `undefined`: it knows nothing of the key. */
  const takeFromSecond = async (key: string): Promise<string | null | undefined> => {
    const found = await second.bury(key, gone, lateSeconds);
    return found === null ? undefined : liveValue(found);
  };

  return {
    async set(key, value, ttlSeconds) {
      const inUse = await secondInUse.check();
      const attempt = await breaker.attempt(() => first.set(key, value, ttlSeconds));
      if (!attempt.answered) await standIn('set', () => second.set(key, held(value), ttlSeconds));
      else if (inUse) await second.delete(key);
    },

    async add(key, value, ttlSeconds) {
      const known = (await secondInUse.check()) ? await second.get(key) : null;
      if (known !== null && known !== gone) return false;
      const attempt = await breaker.attempt(() => first.add(key, value, ttlSeconds));
      // A mark says that the first store's copy does not count.
      if (attempt.answered && known === null) return attempt.value;
      return standIn('add', async () => {
        if (known === gone) return second.replace(key, gone, held(value), ttlSeconds);
        return second.add(key, held(value), ttlSeconds);
      });
    },

    async get(key) {
      const inUse = await secondInUse.check();
      const known = inUse ? await second.get(key) : null;
      if (known !== null) return liveValue(known);
      const attempt = await breaker.attempt(() => first.get(key));
      if (attempt.answered && attempt.value !== null) return attempt.value;
      if (!attempt.answered) onFallback?.('get');
      // Asked already, or a miss: another process may have written there a moment ago.
      return inUse ? null : liveValue(await second.get(key));
    },

    async take(key) {
      const inUse = await secondInUse.check();
      const known = inUse ? await takeFromSecond(key) : undefined;
      if (known !== undefined) return known;
      const attempt = await breaker.attempt(() => first.take(key));
      if (attempt.answered && attempt.value !== null) return attempt.value;
      if (!attempt.answered) onFallback?.('take');
      return inUse ? null : ((await takeFromSecond(key)) ?? null);
    },

    async delete(key) {
      const inUse = await secondInUse.check();
      const attempt = await breaker.attempt(() => first.delete(key));
      if (!attempt.answered) await standIn('delete', () => second.set(key, gone, deletionSeconds));
      else if (inUse) await second.delete(key);
    },
  };
}

function liveValue(found: string | null): string | null {
  return found === null || found === gone ? null : found.slice(1);
}

/** Whether the second store holds anything, asked at most once a second. While it cannot be asked, the last answer stands. */
function createKnowledge(ask: () => Promise<boolean>, elapsedMilliseconds: () => number) {
  let inUse = false;
  let askedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | null = null;
  const refresh = async (): Promise<void> => {
    try {
      inUse = await ask();
    } catch {
      // The first store may serve although Postgres does not: the operation itself tells.
    }
    askedAt = elapsedMilliseconds();
    asking = null;
  };
  return {
    async check(): Promise<boolean> {
      if (elapsedMilliseconds() - askedAt >= knowledgeMilliseconds) {
        asking ??= refresh();
        await asking;
      }
      return inUse;
    },
    learn(): void {
      inUse = true;
      askedAt = elapsedMilliseconds();
    },
  };
}
