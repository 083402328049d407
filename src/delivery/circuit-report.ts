import type { AttemptResult } from './attempt.ts';

/** What one worker saw of one endpoint since it last wrote it down. Moments are by the worker's clock, in milliseconds. */
export interface CircuitReport {
  readonly succeededAt: number | null;
  /** After the last success, if there was one. */
  readonly failures: number;
  readonly firstFailureAt: number | null;
  readonly lastFailureAt: number | null;
  /** Of the last attempt. */
  readonly status: number | null;
  readonly error: string | null;
  readonly probeFailed: boolean;
}

export function reportOf(result: AttemptResult, { probe, at }: { readonly probe: boolean; readonly at: number }): CircuitReport {
  if (result.kind === 'delivered') {
    return {
      succeededAt: at,
      failures: 0,
      firstFailureAt: null,
      lastFailureAt: null,
      status: result.status,
      error: null,
      probeFailed: false,
    };
  }
  return {
    succeededAt: null,
    failures: 1,
    firstFailureAt: at,
    lastFailureAt: at,
    status: result.status,
    error: result.error,
    probeFailed: probe,
  };
}

/** Both together: a success ends the failures before it. */
export function mergeReports(earlier: CircuitReport | undefined, later: CircuitReport): CircuitReport {
  if (earlier === undefined) return later;
  const lastFailureAt = later.lastFailureAt ?? earlier.lastFailureAt;
  if (later.succeededAt !== null) return { ...later, lastFailureAt };
  return {
    ...later,
    succeededAt: earlier.succeededAt,
    failures: earlier.failures + later.failures,
    firstFailureAt: earlier.firstFailureAt ?? later.firstFailureAt,
    lastFailureAt,
    probeFailed: earlier.probeFailed || later.probeFailed,
  };
}
