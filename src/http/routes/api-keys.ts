import { type Request, Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { displayNameSchema } from '../../login/connection-input.ts';
import type { Workspace } from '../../membership/workspace-store.ts';
import { checkVisible, holderOf } from '../admin-auth.ts';
import type { ApiKey, ApiKeyStore } from '../api-key-store.ts';
import { idSchema, momentSchema } from '../api-schema.ts';
import { idPageQuery, invalidInput, pageOf, parseBody, parseInput, parseQuery, pathId } from '../request-input.ts';

export interface ApiKeyRouteDeps {
  readonly apiKeys: Pick<ApiKeyStore, 'create' | 'get' | 'list' | 'rotate' | 'revoke'>;
  readonly getWorkspace: (workspaceId: string) => Promise<Workspace | null>;
  readonly now: () => Date;
}

/** API keys. A workspace's key sees and makes keys of its own workspace only (R13), and none that outlives it. */
export function createApiKeyRoutes({ apiKeys, getWorkspace, now }: ApiKeyRouteDeps): Router {
  const router = Router();

  router.post('/', async (req, res) => {
    const { name, scope, read_only: readOnly, expires_at: expiresAt } = parseBody(apiKeyInputSchema, req);
    const workspaceId = await grantable(req, scope);
    checkLifetime(req, expiresAt);
    const { key, apiKey } = await apiKeys.create({ name, workspaceId, readOnly, expiresAt });
    // Shown this once.
    res
      .status(201)
      .location(`/v1/api-keys/${apiKey.keyId}`)
      .json({ ...apiKeyView(apiKey), key });
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(apiKeyListQuery, req);
    const rows = await apiKeys.list({ workspaceId: holderOf(req).workspaceId, after, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ keyId }) => keyId, view: apiKeyView }));
  });

  router.get('/:key_id', async (req, res) => {
    res.json(apiKeyView(await visibleKey(req)));
  });

  router.post('/:key_id/rotate', async (req, res) => {
    const { keyId, expiresAt } = await visibleKey(req);
    checkOutlives(req, { keyId, expiresAt });
    const { overlap_seconds: overlapSeconds } = parseInput(rotationInputSchema, req.body ?? {});
    const { key, apiKey } = await apiKeys.rotate(keyId, { overlapSeconds });
    res.json({ ...apiKeyView(apiKey), key });
  });

  router.delete('/:key_id', async (req, res) => {
    const { keyId } = await visibleKey(req);
    await apiKeys.revoke(keyId);
    res.status(204).end();
  });

  return router;

  async function visibleKey(req: Request): Promise<ApiKey> {
    const apiKey = await apiKeys.get(pathId(req, 'key_id'));
    if (!apiKey) throw new BrokerError('not_found', 'there is no such API key');
    checkVisible(req, apiKey.workspaceId);
    return apiKey;
  }

  async function grantable(req: Request, scope: z.output<typeof scopeSchema>): Promise<string | null> {
    const own = holderOf(req).workspaceId;
    const wanted = scope === 'instance' ? null : scope.slice(workspacePrefix.length);
    if (own !== null && wanted === null) {
      throw new BrokerError('forbidden', 'a key of a workspace makes none of the instance', {
        reason: 'instance_scope_required',
      });
    }
    const exists = wanted === null || ((own === null || own === wanted) && (await getWorkspace(wanted)) !== null);
    if (!exists) throw invalidInput([{ path: 'scope', message: 'there is no such workspace' }]);
    return wanted;
  }

  // Else whoever finds a key that is about to end could go on with one that lasts.
  function checkOutlives(req: Request, target: Pick<ApiKey, 'keyId' | 'expiresAt'>): void {
    const { keyId, expiresAt: own } = holderOf(req);
    if (own === null || keyId === target.keyId || (target.expiresAt !== null && target.expiresAt <= own)) return;
    throw new BrokerError('forbidden', 'a key that ends gives no secret of one that lasts longer', {
      reason: 'key_outlives_yours',
    });
  }

  function checkLifetime(req: Request, expiresAt: Date | null): void {
    const refuse = (message: string) => invalidInput([{ path: 'expires_at', message }]);
    if (expiresAt !== null && expiresAt <= now()) throw refuse('give a moment that is still to come');
    const own = holderOf(req).expiresAt;
    if (own !== null && (expiresAt === null || expiresAt > own)) {
      throw refuse(`give a moment no later than the end of the key that you use, ${own.toISOString()}`);
    }
  }
}

const workspacePrefix = 'workspace:';

const scopeSchema = z
  .string()
  .regex(/^(?:instance|workspace:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/, 'give "instance" or "workspace:<id>"')
  .describe('`instance`, or `workspace:<id>`.');

export const apiKeyInputSchema = z.strictObject({
  name: displayNameSchema.describe('What it is for.'),
  scope: scopeSchema,
  read_only: z.boolean().default(false),
  expires_at: z.iso
    .datetime({ offset: true, error: 'give a moment, such as 2030-01-31T12:00:00Z' })
    .transform((text) => new Date(text))
    .nullable()
    .default(null),
});

const daySeconds = 86_400;

export const rotationInputSchema = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(7 * daySeconds)
    .default(daySeconds)
    .describe('How long the secret in force until now stays valid too.'),
});

export const apiKeyListQuery = z.strictObject(idPageQuery);

export function apiKeyView(apiKey: ApiKey) {
  return {
    key_id: apiKey.keyId,
    name: apiKey.name,
    scope: apiKey.workspaceId === null ? 'instance' : `${workspacePrefix}${apiKey.workspaceId}`,
    read_only: apiKey.readOnly,
    expires_at: apiKey.expiresAt?.toISOString() ?? null,
    created_at: apiKey.createdAt.toISOString(),
    last_used_at: apiKey.lastUsedAt?.toISOString() ?? null,
    rotated_at: apiKey.rotatedAt?.toISOString() ?? null,
    previous_valid_until: apiKey.previousValidUntil?.toISOString() ?? null,
    revoked_at: apiKey.revokedAt?.toISOString() ?? null,
  };
}

export const apiKeySchema = z
  .strictObject({
    key_id: idSchema,
    name: z.string(),
    scope: scopeSchema,
    read_only: z.boolean(),
    expires_at: momentSchema.nullable(),
    created_at: momentSchema,
    last_used_at: momentSchema.nullable().describe('Exact to a minute.'),
    rotated_at: momentSchema.nullable(),
    previous_valid_until: momentSchema.nullable().describe('Until when the secret before the last rotation is valid too.'),
    revoked_at: momentSchema.nullable(),
  })
  .meta({ id: 'ApiKey' });
