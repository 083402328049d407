import { Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { groupsForApp } from '../../domain/webhook-event.ts';
import type { UserLifecycle } from '../../membership/user-lifecycle.ts';
import type { StoredUser, UserDetail, UserStore } from '../../membership/users.ts';
import { instanceScope } from '../admin-auth.ts';
import { sendTagged } from '../etag.ts';
import { idPageQuery, pageOf, parseQuery, pathId } from '../request-input.ts';

export interface UserRouteDeps {
  readonly users: UserStore;
  readonly userLifecycle: UserLifecycle;
  /** Called when events were appended. */
  readonly onEvents: () => void;
}

/** People, who belong to no single workspace, and so to the instance (R13). A workspace reads its own as members. */
export function createUserRoutes({ users, userLifecycle, onEvents }: UserRouteDeps): Router {
  const router = Router();
  router.use(instanceScope);

  router.get('/', async (req, res) => {
    const { limit, ...filter } = parseQuery(userListQuery, req);
    const rows = await users.list({ ...filter, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ userId }) => userId, view: userView }));
  });

  router.get('/:user_id', async (req, res) => {
    sendTagged(req, res, userDetailView(await found(pathId(req, 'user_id'))));
  });

  // R32. All three may be repeated.
  router.post('/:user_id/archive', async (req, res) => {
    const userId = pathId(req, 'user_id');
    if (await userLifecycle.archive(userId)) onEvents();
    res.json(userDetailView(await found(userId)));
  });

  router.post('/:user_id/restore', async (req, res) => {
    const userId = pathId(req, 'user_id');
    if (await userLifecycle.restore(userId)) onEvents();
    res.json(userDetailView(await found(userId)));
  });

  router.delete('/:user_id', async (req, res) => {
    await userLifecycle.erase(pathId(req, 'user_id'));
    onEvents();
    res.status(204).end();
  });

  return router;

  async function found(userId: string): Promise<UserDetail> {
    const user = await users.get(userId);
    if (!user) throw new BrokerError('not_found', 'there is no such user');
    return user;
  }
}

const beginning = z.string().min(1).max(320).optional();

export const userListQuery = z.strictObject({
  ...idPageQuery,
  /** Beginning of the address, in any case. */
  email: beginning,
  /** Beginning of the name, in any case. */
  name: beginning,
  status: z.enum(['active', 'archived']).optional(),
});

export function userView(user: StoredUser) {
  return {
    user_id: user.userId,
    email: user.email,
    email_verified: user.emailVerified,
    name: user.name,
    given_name: user.givenName,
    family_name: user.familyName,
    status: user.status,
    created_at: user.createdAt.toISOString(),
    updated_at: user.updatedAt.toISOString(),
  };
}

export function userDetailView(user: UserDetail) {
  return {
    ...userView(user),
    identities: user.identities.map(({ connectionId, subject, issuer, lastLoginAt }) => ({
      connection_id: connectionId,
      subject,
      issuer,
      last_login_at: lastLoginAt?.toISOString() ?? null,
    })),
    memberships: user.memberships.map((membership) => ({
      workspace: { id: membership.workspaceId, slug: membership.workspaceSlug },
      role: membership.role,
      groups: groupsForApp(membership.groups),
      status: membership.status,
      version: membership.version,
    })),
  };
}
