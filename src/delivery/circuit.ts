import type { Log } from '../infra/log.ts';
import type { AttemptResult } from './attempt.ts';
import { type CircuitReport, mergeReports, reportOf } from './circuit-report.ts';
import type { CircuitState } from './circuit-store.ts';
import type { LeasedLane } from './lane-lease.ts';

export interface CircuitOptions {
  readonly write: (reports: ReadonlyMap<string, CircuitReport>, at: number) => Promise<readonly CircuitState[]>;
  /** The circuit opens after so many failures in a row. */
  readonly circuitFailures: number;
  /** An endpoint that failed for so long without a success is given up. */
  readonly giveUpSeconds: number;
  /** A circuit opened or closed: what can be leased, and when, is another matter now. */
  readonly onChange: () => void;
  readonly now: () => Date;
  readonly log: Log;
}

const flushMilliseconds = 1_000;

/**
 * A worker's view of its endpoints. Attempts are summed up and written at most once a second, and at once where something changes:
 * when a circuit may open, after a probe, and when an endpoint may have to be given up.
 */
export function createCircuits(options: CircuitOptions) {
  const { now, log } = options;
  let reports = new Map<string, CircuitReport>();
  /** As last written; endpoints that work are not kept. */
  const failuresWritten = new Map<string, number>();
  /** About to open: no lane of theirs is leased until that is written. */
  const opening = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<unknown> = Promise.resolve();

  /** @returns whether the endpoint has failed for so long that it is to be given up */
  async function note(
    lane: Pick<LeasedLane, 'endpointId' | 'probe' | 'failingSeconds'>,
    result: AttemptResult,
  ): Promise<boolean> {
    const { endpointId, probe } = lane;
    const report = mergeReports(reports.get(endpointId), reportOf(result, { probe, at: now().getTime() }));
    reports.set(endpointId, report);
    timer ??= setTimeout(() => void flush(), flushMilliseconds).unref();
    if (result.kind === 'delivered') {
      if (probe) await flush();
      return false;
    }
    if (probe || mayBeGivenUp(lane, report)) {
      const states = await flush();
      const state = states.find((each) => each.endpointId === endpointId);
      return (state?.failingSeconds ?? 0) >= options.giveUpSeconds;
    }
    const before = report.succeededAt === null ? (failuresWritten.get(endpointId) ?? 0) : 0;
    if (before < options.circuitFailures && before + report.failures >= options.circuitFailures) {
      opening.add(endpointId);
      void flush();
    }
    return false;
  }

  function mayBeGivenUp({ failingSeconds }: Pick<LeasedLane, 'failingSeconds'>, { succeededAt }: CircuitReport): boolean {
    return succeededAt === null && failingSeconds !== null && failingSeconds >= options.giveUpSeconds;
  }

  /** Writes what was noted so far; it never fails: what could not be written is written later. */
  function flush(): Promise<readonly CircuitState[]> {
    const next = flushing.then(writeReports);
    flushing = next;
    return next;
  }

  async function writeReports(): Promise<readonly CircuitState[]> {
    clearTimeout(timer);
    timer = undefined;
    const written = reports;
    if (written.size === 0) return [];
    reports = new Map();
    try {
      const states = await options.write(written, now().getTime());
      for (const endpointId of written.keys()) opening.delete(endpointId);
      for (const state of states) follow(state);
      return states;
    } catch (error) {
      log.warn(
        { err: error, endpoints: written.size },
        'webhook delivery: the health of endpoints could not be written, to be tried again',
      );
      for (const [endpointId, later] of reports) written.set(endpointId, mergeReports(written.get(endpointId), later));
      reports = written;
      timer ??= setTimeout(() => void flush(), flushMilliseconds).unref();
      return [];
    }
  }

  function follow({ endpointId, opened, closed, consecutiveFailures }: CircuitState): void {
    if (consecutiveFailures > 0) failuresWritten.set(endpointId, consecutiveFailures);
    else failuresWritten.delete(endpointId);
    if (opened) log.warn({ endpointId, consecutiveFailures }, 'webhook delivery: the endpoint keeps failing and is paused');
    if (closed) log.info({ endpointId }, 'webhook delivery: the endpoint works again');
    if (opened || closed) options.onChange();
  }

  return {
    note,
    flush,
    opening: (): ReadonlySet<string> => opening,
  };
}

export type Circuits = ReturnType<typeof createCircuits>;
