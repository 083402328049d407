import type { Request, Response } from 'express';
import { z } from 'zod';
import { BrokerError } from '../domain/broker-error.ts';
import type { RemovalImpact } from '../membership/removal.ts';
import { noteFacts, requestIdOf } from './access-log.ts';
import { problemMediaType, problemOf } from './problem.ts';

/** The query of a removal in two steps. */
export const confirmationQuery = {
  /** The token of the warning; only the very state that was shown is removed. */
  confirm: z.string().max(100).optional(),
};

/**
 * The first step of a removal: nothing was done, and the answer says what would be. It does not pass through the error log, since it
 * names people.
 */
export function askConfirmation(
  req: Request,
  res: Response,
  warning: { readonly token: string; readonly stale: boolean; readonly impact: object },
): void {
  const { token, stale, impact } = warning;
  const reason = stale ? 'state_moved' : 'confirmation_required';
  const message = stale
    ? 'what would be removed has changed since the warning: read the new one'
    : 'repeat the request with this token to remove it';
  const error = new BrokerError('conflict', message, { reason, fields: [{ path: 'confirm', message }] });
  noteFacts(res, { code: error.code });
  res
    .status(error.face.status)
    .type(problemMediaType)
    .send(JSON.stringify({ ...problemOf(error, requestIdOf(req)), confirmation: { token, impact } }));
}

export function impactView({ members, byRole, first }: RemovalImpact) {
  return {
    members,
    by_role: byRole,
    first_members: first.map(({ userId, role, groups }) => ({ user_id: userId, role, groups })),
  };
}
