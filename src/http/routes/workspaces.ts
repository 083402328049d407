import { Router } from 'express';
import { z } from 'zod';
import { displayNameSchema } from '../../login/connection-input.ts';
import { slugProblem, type Workspace, type WorkspaceStore } from '../../membership/workspace-store.ts';
import { holderOf, instanceScope } from '../admin-auth.ts';
import { idPageQuery, pageOf, parseBody, parseQuery } from '../request-input.ts';
import type { FindWorkspace } from './workspace-scope.ts';

/** Workspaces. A workspace's key sees its own only (R13). */
export function createWorkspaceRoutes(deps: {
  readonly workspaces: WorkspaceStore;
  readonly findWorkspace: FindWorkspace;
}): Router {
  const { workspaces, findWorkspace } = deps;
  const router = Router();

  router.post('/', instanceScope, async (req, res) => {
    const { slug, display_name: displayName } = parseBody(workspaceInputSchema, req);
    const created = await workspaces.create({ slug, displayName: displayName ?? slug });
    res.status(201).location(`/v1/workspaces/${created.workspaceId}`).json(workspaceView(created));
  });

  router.get('/', async (req, res) => {
    const { limit, after } = parseQuery(listQuery, req);
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
    res.json(workspaceView(await findWorkspace(req)));
  });

  return router;
}

/** Shared with the declarative file. */
export const slugSchema = z.string().superRefine((slug, context) => {
  const problem = slugProblem(slug);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

const workspaceInputSchema = z.strictObject({ slug: slugSchema, display_name: displayNameSchema.optional() });
const listQuery = z.strictObject(idPageQuery);

function workspaceView(workspace: Workspace) {
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
