import { type Request, Router } from 'express';
import { z } from 'zod';
import { claimNameSchema, mappingInput } from '../../login/connection-input.ts';
import type { SyncListCheck, SyncListField, SyncListStore, SyncListWorkspace } from '../../login/sync-list.ts';
import { formatMappingText } from '../../mapping/text-form.ts';
import { checkVisible } from '../admin-auth.ts';
import { askConfirmation, confirmationQuery, impactView } from '../confirmation.ts';
import { checkIfMatch, hasPrecondition, sendTagged } from '../etag.ts';
import { idPageQuery, pageOf, parseBody, parseInput, parseQuery, pathId } from '../request-input.ts';

export interface SyncListRouteDeps {
  readonly syncLists: SyncListStore;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onConnectionChange: (connectionId: string) => void;
  /** Called when events were appended. */
  readonly onEvents: () => void;
}

/** The workspaces of one instance-level connection, mounted below it. A workspace's key finds no such connection (R13). */
export function createSyncListRoutes({ syncLists, onConnectionChange, onEvents }: SyncListRouteDeps): Router {
  const router = Router({ mergeParams: true });

  router.use((req, _res, next) => {
    checkVisible(req, null);
    next();
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(listQuery, req);
    const rows = await syncLists.list(connectionIdOf(req), { after, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: ({ workspaceId }) => workspaceId, view: syncListView }));
  });

  router.post('/', async (req, res) => {
    const connectionId = connectionIdOf(req);
    const { workspace, enabled, claim_name: claimName, mapping } = parseBody(syncListInputSchema, req);
    const added = await syncLists.add(connectionId, workspace, { enabled, claimName, mapping });
    onConnectionChange(connectionId);
    res.status(201).location(`/v1/connections/${connectionId}/workspaces/${added.workspaceId}`).json(syncListView(added));
  });

  router.get('/:workspace_id', async (req, res) => {
    sendTagged(req, res, syncListView(await syncLists.get(connectionIdOf(req), pathId(req, 'workspace_id'))));
  });

  router.patch('/:workspace_id', async (req, res) => {
    const connectionId = connectionIdOf(req);
    const { enabled, is_default: isDefault, claim_name: claimName, mapping } = parseBody(syncListPatchSchema, req);
    const patch = { enabled, isDefault, claimName, mapping };
    const updated = await syncLists.update(connectionId, pathId(req, 'workspace_id'), patch, checkOf(req));
    onConnectionChange(connectionId);
    sendTagged(req, res, syncListView(updated));
  });

  router.post('/:workspace_id/reset', async (req, res) => {
    const connectionId = connectionIdOf(req);
    const { fields } = parseInput(resetSchema, req.body ?? {});
    const updated = await syncLists.reset(connectionId, pathId(req, 'workspace_id'), fields, checkOf(req));
    onConnectionChange(connectionId);
    sendTagged(req, res, syncListView(updated));
  });

  // R10: the first request is answered with the warning, the one that carries its token removes.
  router.delete('/:workspace_id', async (req, res) => {
    const connectionId = connectionIdOf(req);
    const { confirm, default_workspace: successor } = parseQuery(removalQuery, req);
    const workspaceId = pathId(req, 'workspace_id');
    const removal = await syncLists.remove(connectionId, workspaceId, { confirm, successor }, checkOf(req));
    if (removal.kind === 'unconfirmed') {
      askConfirmation(req, res, { ...removal, impact: impactView(removal.impact) });
      return;
    }
    onConnectionChange(connectionId);
    if (removal.members > 0) onEvents();
    res.status(204).end();
  });

  return router;
}

export const syncListInputSchema = z.strictObject({
  /** Id or slug. */
  workspace: z.string().min(1).max(63),
  enabled: z.boolean().default(true),
  /** Null inherits (R8, R9). */
  claim_name: claimNameSchema.nullable().default(null),
  mapping: mappingInput.nullable().default(null),
});

export const syncListPatchSchema = z.strictObject({
  enabled: z.boolean().optional(),
  is_default: z.literal(true, { error: 'make another workspace the default instead' }).optional(),
  claim_name: claimNameSchema.nullable().optional(),
  mapping: mappingInput.nullable().optional(),
});

const overridable = ['claim_name', 'mapping'] as const;
export const resetSchema = z.strictObject({
  fields: z
    .array(z.enum(overridable))
    .min(1)
    .default([...overridable]),
});

export const listQuery = z.strictObject(idPageQuery);

export const removalQuery = z.strictObject({
  ...confirmationQuery,
  /** R7: id or slug of the workspace that takes the default over. */
  default_workspace: z.string().min(1).max(63).optional(),
});

function checkOf(req: Request): SyncListCheck | undefined {
  return hasPrecondition(req) ? (entry) => checkIfMatch(req, syncListView(entry)) : undefined;
}

function connectionIdOf(req: Request): string {
  return pathId(req, 'connection_id');
}

export function syncListView(entry: SyncListWorkspace) {
  const mapping = ({ rules, oneToOne }: SyncListWorkspace['mapping']['value']) => ({
    rules,
    one_to_one: oneToOne,
    text: formatMappingText(rules),
  });
  return {
    workspace_id: entry.workspaceId,
    workspace_slug: entry.workspaceSlug,
    is_default: entry.isDefault,
    enabled: entry.enabled,
    claim_name: fieldView(entry.claimName, (name) => name),
    mapping: fieldView(entry.mapping, mapping),
    created_at: entry.createdAt.toISOString(),
    updated_at: entry.updatedAt.toISOString(),
  };
}

function fieldView<Value, View>({ value, source, instanceValue, drift }: SyncListField<Value>, view: (value: Value) => View) {
  return { value: view(value), source, instance_value: view(instanceValue), drift };
}
