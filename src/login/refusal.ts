import { BrokerError, toBrokerError } from '../domain/broker-error.ts';
import type { Log } from '../infra/log.ts';
import { isDatabaseUnavailable } from '../infra/postgres.ts';
import type { LoginTraceRow } from '../membership/login-store.ts';
import type { PendingLoginStore } from './pending-login-store.ts';
import { refusedTrace } from './trace.ts';

/** A login that ended before the app, with a page for the person. */
export interface RefusedLogin {
  readonly kind: 'refused';
  readonly error: BrokerError;
  /** The reference that people see; finds the line in the log and the trace. */
  readonly loginId: string;
  /** Where the app can be told; null if nobody waits there, or nothing could be left for it. */
  readonly interactionUid: string | null;
}

/** Anything thrown, as the error of the login. */
export function refusalFrom(thrown: unknown): BrokerError {
  if (isDatabaseUnavailable(thrown)) return new BrokerError('unavailable', 'Postgres cannot be reached', { cause: thrown });
  return toBrokerError(thrown);
}

export type RecordRefusal = ReturnType<typeof createRefusalRecorder>;

/** Leaves what a refused login needs behind: a line in the log, word for the app, the trace. */
export function createRefusalRecorder(deps: {
  readonly pendingLogins: Pick<PendingLoginStore, 'saveOutcome'>;
  readonly saveTrace: (trace: LoginTraceRow) => Promise<void>;
  readonly log: Log;
  readonly now: () => Date;
}) {
  const { pendingLogins, saveTrace, log, now } = deps;

  return async function recordRefusal(
    login: {
      readonly loginId: string;
      readonly connectionId: string | null;
      /** Null: no login of this browser. Nobody is waiting then, and a stranger must not fill the trace table. */
      readonly interactionUid: string | null;
      /** The trace was committed already. */
      readonly traced?: boolean;
      /** What an administrator needs to resolve the refusal; null: nothing can be resolved there. */
      readonly identity?: { readonly subject: string; readonly issuer: string } | null;
    },
    error: BrokerError,
  ): Promise<RefusedLogin> {
    const { loginId, connectionId, interactionUid } = login;
    const { code, reason = null } = error;
    log[error.face.status >= 500 ? 'error' : 'info']({ loginId, connectionId, code, reason, err: error }, 'login refused');
    if (interactionUid === null) return { kind: 'refused', error, loginId, interactionUid };

    const [word, trace] = await Promise.allSettled([
      pendingLogins.saveOutcome(interactionUid, { kind: 'refused', code, reason, loginId }),
      // Without Postgres there is none, and asking again would only keep the person waiting.
      login.traced || code === 'unavailable'
        ? null
        : saveTrace(refusedTrace({ loginId, connectionId }, error, now(), login.identity ?? null)),
    ]);
    for (const part of [word, trace]) {
      // The person still gets the page, and the log line above has the reference.
      if (part.status === 'rejected') log.warn({ loginId, err: part.reason }, 'a refused login could not be recorded in full');
    }
    return { kind: 'refused', error, loginId, interactionUid: word.status === 'fulfilled' ? interactionUid : null };
  };
}
