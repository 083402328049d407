import { Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { displayNameSchema } from '../../login/connection-input.ts';
import type { WorkspaceImpact, WorkspaceLifecycle } from '../../membership/workspace-lifecycle.ts';
import { slugProblem, type Workspace, type WorkspaceStore } from '../../membership/workspace-store.ts';
import { holderOf, instanceScope } from '../admin-auth.ts';
import { askConfirmation, impactView } from '../confirmation.ts';
import { checkIfMatch, hasPrecondition, sendTagged } from '../etag.ts';
import { idPageQuery, pageOf, parseBody, parseQuery, pathId } from '../request-input.ts';
import { removalQuery } from './sync-list.ts';
import { activeWorkspace, type FindWorkspace } from './workspace-scope.ts';

/** Workspaces. A workspace's key sees its own only (R13). */
export function createWorkspaceRoutes(deps: {
  readonly workspaces: WorkspaceStore;
  readonly workspaceLifecycle: WorkspaceLifecycle;
  readonly findWorkspace: FindWorkspace;
  /** Called after a change, so that this process forgets what it cached. */
  readonly onConnectionChange: (connectionId: string) => void;
  /** Called when events were appended. */
  readonly onEvents: () => void;
}): Router {
  const { workspaces, workspaceLifecycle, findWorkspace, onConnectionChange, onEvents } = deps;
  const router = Router();

  router.post('/', instanceScope, async (req, res) => {
    const { slug, display_name: displayName } = parseBody(workspaceInputSchema, req);
    const created = await workspaces.create({ slug, displayName: displayName ?? slug });
    res.status(201).location(`/v1/workspaces/${created.workspaceId}`).json(workspaceView(created));
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(workspaceListQuery, req);
    const { workspaceId } = holderOf(req);
    if (workspaceId !== null) {
      const own = await workspaces.get(workspaceId);
      res.json({ data: own ? [workspaceView(own)] : [], next_cursor: null });
      return;
    }
    const rows = await workspaces.list({ after, limit: limit + 1 });
    res.json(pageOf(rows, limit, { cursor: (row) => row.workspaceId, view: workspaceView }));
  });

  router.get('/:workspace_id', async (req, res) => {
    sendTagged(req, res, workspaceView(await findWorkspace(req)));
  });

  router.patch('/:workspace_id', async (req, res) => {
    const { workspaceId } = activeWorkspace(await findWorkspace(req));
    const { display_name: displayName } = parseBody(workspacePatchSchema, req);
    const check = (current: Workspace) => checkIfMatch(req, workspaceView(current));
    const renamed = await workspaces.rename(workspaceId, displayName, hasPrecondition(req) ? check : undefined);
    if (!renamed) throw new BrokerError('not_found', 'there is no such workspace');
    sendTagged(req, res, workspaceView(renamed));
  });

  // The first request is answered with the warning, the one that carries its token archives.
  router.delete('/:workspace_id', instanceScope, async (req, res) => {
    const { confirm, default_workspace: successor } = parseQuery(removalQuery, req);
    const removal = await workspaceLifecycle.remove(pathId(req, 'workspace_id'), { confirm, successor });
    if (removal.kind === 'unconfirmed') {
      askConfirmation(req, res, { ...removal, impact: workspaceImpactView(removal.impact) });
      return;
    }
    for (const connectionId of removal.connectionIds) onConnectionChange(connectionId);
    if (removal.members > 0) onEvents();
    res.status(204).end();
  });

  return router;
}

/** Shared with the declarative file. */
export const slugSchema = z.string().superRefine((slug, context) => {
  const problem = slugProblem(slug);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

export const workspaceInputSchema = z.strictObject({ slug: slugSchema, display_name: displayNameSchema.optional() });
export const workspacePatchSchema = z.strictObject({ display_name: displayNameSchema });
export const workspaceListQuery = z.strictObject(idPageQuery);

export function workspaceView(workspace: Workspace) {
  return {
    workspace_id: workspace.workspaceId,
    slug: workspace.slug,
    display_name: workspace.displayName,
    status: workspace.status,
    catalogue_version: workspace.catalogueVersion,
    created_at: workspace.createdAt.toISOString(),
    updated_at: workspace.updatedAt.toISOString(),
  };
}

export function workspaceImpactView({ connections, syncLists, appGroups, apiKeys, ...members }: WorkspaceImpact) {
  return {
    ...impactView(members),
    connections_switched_off: connections,
    sync_lists_left: syncLists,
    app_groups: appGroups,
    api_keys_revoked: apiKeys,
  };
}
