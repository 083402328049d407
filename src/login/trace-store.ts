import type { Database } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { insertTrace, type LoginTraceRow } from '../membership/login-store.ts';

/** The traces of logins by their reference. A successful login writes its own, in the transaction of its sync. */
export function createTraceStore({ db }: { readonly db: Database }) {
  return {
    save: (trace: LoginTraceRow): Promise<void> => insertTrace(db, trace),

    /** Index: login_traces_pkey. */
    async find(loginId: string): Promise<LoginTraceRow | null> {
      if (!isUniqueId(loginId)) return null;
      const row = await db('login_traces').where({ login_id: loginId }).first();
      if (!row) return null;
      return {
        loginId: row.login_id,
        connectionId: row.connection_id,
        userId: row.user_id,
        outcome: row.outcome,
        reason: row.reason,
        detail: row.detail,
        occurredAt: row.occurred_at,
      };
    },
  };
}
