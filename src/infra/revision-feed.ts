import type { Log } from './log.ts';

/** Something that caches hold got new content. `revision` null: which one is not known, only that it is another. */
export interface Revised<Kind extends string = string> {
  readonly kind: Kind;
  readonly id: string;
  readonly revision: string | null;
}

export interface RevisionFeedOptions<Kind extends string> {
  /**
   * Everything whose content may have become visible since the reading that returned `horizon`; null: nothing, only where a next
   * reading goes on. Twice the same does no harm, one left out does.
   */
  readonly read: (since: string | null) => Promise<{ readonly horizon: string; readonly revised: readonly Revised<Kind>[] }>;
  readonly onRevised: (revised: Revised<Kind>) => void;
  /** What happened before is not known: nothing that is cached counts any more. */
  readonly onGap: () => void;
  /** How old what caches answer with may be. Asked twice within that time. */
  readonly maxStaleMilliseconds: number;
  readonly log: Log;
  /** A clock that never goes back. */
  readonly elapsedMilliseconds?: () => number;
}

export interface RevisionFeed {
  /** Until when everything cached was known to be current, in elapsed milliseconds; what was loaded later is current to its own time. */
  confirmedAt(): number;
  elapsed(): number;
  readonly maxStaleMilliseconds: number;
  /** Asks now; shared by all who ask while it is under way. Rejects when Postgres does not answer. */
  check(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

/**
 * Keeps caches current by asking one question for all of them, twice in the time that they may be stale. A lost message therefore costs
 * nothing but that time; while Postgres does not answer nothing is confirmed, and caches stop answering from memory.
 */
export function createRevisionFeed<Kind extends string>(options: RevisionFeedOptions<Kind>): RevisionFeed {
  const { read, onRevised, onGap, maxStaleMilliseconds, log, elapsedMilliseconds: elapsed = () => performance.now() } = options;
  let horizon: string | null = null;
  let confirmedAt = Number.NEGATIVE_INFINITY;
  let checking: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let failing = false;

  async function ask(): Promise<void> {
    const startedAt = elapsed();
    const found = await read(horizon);
    if (horizon === null || BigInt(found.horizon) < BigInt(horizon)) {
      // The first reading, or another database behind the same address (a restore, a failover that lost transactions).
      onGap();
    } else {
      for (const revised of found.revised) onRevised(revised);
    }
    horizon = found.horizon;
    confirmedAt = startedAt;
  }

  function check(): Promise<void> {
    checking ??= ask().finally(() => {
      checking = null;
    });
    return checking;
  }

  async function poll(): Promise<void> {
    try {
      await check();
      failing = false;
    } catch (error) {
      if (!failing) log.warn({ err: error }, 'what changed cannot be looked up; logins read from Postgres until it can');
      failing = true;
    }
    if (running) timer = setTimeout(poll, maxStaleMilliseconds / 2).unref();
  }

  return {
    confirmedAt: () => confirmedAt,
    elapsed,
    maxStaleMilliseconds,
    check,
    start() {
      if (running) return;
      running = true;
      void poll();
    },
    async stop() {
      running = false;
      clearTimeout(timer);
      await checking?.catch(() => {});
    },
  };
}
