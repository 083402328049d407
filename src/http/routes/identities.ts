import { Router } from 'express';
import { z } from 'zod';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { IdentityStore, LinkedIdentity } from '../../login/linking-store.ts';
import { instanceScope } from '../admin-auth.ts';
import { parseBody, parseQuery, pathId } from '../request-input.ts';

export interface IdentityRouteDeps {
  readonly identities: IdentityStore;
  /** What the user was given until now is worth nothing from here on: it may have come by the identity that went. */
  readonly revokeUser: (userId: string) => Promise<void>;
}

/** How one person signs in, mounted below the user. A person may be of many workspaces: keys of instance scope only (R13, R33). */
export function createIdentityRoutes({ identities, revokeUser }: IdentityRouteDeps): Router {
  const router = Router({ mergeParams: true });
  router.use(instanceScope);

  router.get('/', async (req, res) => {
    const data = (await identities.list(pathId(req, 'user_id'))).map(identityView);
    res.json({ data, next_cursor: null });
  });

  router.post('/', async (req, res) => {
    const { connection_id: connectionId, subject, issuer } = parseBody(linkInput, req);
    res.status(201).json(identityView(await identities.link(pathId(req, 'user_id'), { connectionId, subject, issuer })));
  });

  router.post('/rebind', async (req, res) => {
    const { connection_id: connectionId, subject, issuer, previous_subject: previousSubject } = parseBody(rebindInput, req);
    const userId = pathId(req, 'user_id');
    const rebound = await identities.rebind(userId, { connectionId, subject, issuer, previousSubject });
    await revokeUser(userId);
    res.json(identityView(rebound));
  });

  // Subjects hold every character there is, so that they are no part of a path.
  router.delete('/', async (req, res) => {
    const { connection_id: connectionId, subject } = parseQuery(identityName, req);
    const userId = pathId(req, 'user_id');
    try {
      await identities.unlink(userId, { connectionId, subject });
    } finally {
      // Also when there is nothing to unlink: an earlier request may have failed here.
      await revokeUser(userId);
    }
    res.status(204).end();
  });

  return router;
}

const name = {
  connection_id: z.string().refine(isUniqueId, 'give the id of a connection'),
  subject: z.string().min(1).max(1_000),
};
export const identityName = z.strictObject(name);
export const linkInput = z.strictObject({ ...name, issuer: z.string().min(1).max(2_000).nullable().default(null) });
export const rebindInput = linkInput.extend({ previous_subject: z.string().min(1).max(1_000).nullable().default(null) });

export function identityView(identity: LinkedIdentity) {
  return {
    connection_id: identity.connectionId,
    connection: identity.connection,
    subject: identity.subject,
    issuer: identity.issuer,
    last_login_at: identity.lastLoginAt?.toISOString() ?? null,
    created_at: identity.createdAt.toISOString(),
  };
}
