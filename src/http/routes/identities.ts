import { Router } from 'express';
import { z } from 'zod';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { IdentityStore, LinkedIdentity } from '../../login/linking-store.ts';
import { instanceScope } from '../admin-auth.ts';
import { parseBody, parseQuery, pathId } from '../request-input.ts';

export interface IdentityRouteDeps {
  readonly identities: IdentityStore;
}

/** How one person signs in, mounted below the user. A person may be of many workspaces: keys of instance scope only (R13, R33). */
export function createIdentityRoutes({ identities }: IdentityRouteDeps): Router {
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
    const change = { connectionId, subject, issuer, previousSubject };
    res.json(identityView(await identities.rebind(pathId(req, 'user_id'), change)));
  });

  // Subjects hold every character there is, so that they are no part of a path.
  router.delete('/', async (req, res) => {
    const { connection_id: connectionId, subject } = parseQuery(identityName, req);
    await identities.unlink(pathId(req, 'user_id'), { connectionId, subject });
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
