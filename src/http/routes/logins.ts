import { Router } from 'express';
import { BrokerError } from '../../domain/broker-error.ts';
import type { StoredConnection } from '../../login/connection-rows.ts';
import type { LoginTraceRow } from '../../membership/login-store.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import { pathId } from '../request-input.ts';

export interface LoginTraceRouteDeps {
  readonly findLogin: (loginId: string) => Promise<LoginTraceRow | null>;
  readonly findConnection: (connectionId: string) => Promise<Pick<StoredConnection, 'workspaceId'> | null>;
}

/** What happened at one login; its id is the reference that people see. */
export function createLoginTraceRoutes({ findLogin, findConnection }: LoginTraceRouteDeps): Router {
  const router = Router();

  router.get('/:login_id', async (req, res) => {
    const trace = await findLogin(pathId(req, 'login_id'));
    if (!trace) throw new BrokerError('not_found', 'there is no trace of such a login');
    // A trace by an instance-level connection tells about other workspaces too.
    if (holderOf(req).workspaceId !== null) {
      const connection = trace.connectionId === null ? null : await findConnection(trace.connectionId);
      checkVisible(req, connection?.workspaceId ?? null);
    }
    res.json({
      login_id: trace.loginId,
      connection_id: trace.connectionId,
      user_id: trace.userId,
      outcome: trace.outcome,
      reason: trace.reason,
      detail: trace.detail,
      occurred_at: trace.occurredAt.toISOString(),
    });
  });

  return router;
}
