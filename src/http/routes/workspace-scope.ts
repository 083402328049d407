import type { Request } from 'express';
import { BrokerError } from '../../domain/broker-error.ts';
import type { Workspace, WorkspaceStore } from '../../membership/workspace-store.ts';
import { checkVisible } from '../admin-auth.ts';
import { pathId } from '../request-input.ts';

/** The workspace that the path names, if the key may see it. */
export type FindWorkspace = (req: Request) => Promise<Workspace>;

/**
 * For changes: what was archived stays as it was.
 * @throws BrokerError `conflict`
 */
export function activeWorkspace(workspace: Workspace): Workspace {
  if (workspace.status === 'active') return workspace;
  throw new BrokerError('conflict', 'the workspace is archived', { reason: 'workspace_archived' });
}

export function createFindWorkspace({ get }: Pick<WorkspaceStore, 'get'>): FindWorkspace {
  return async (req) => {
    const workspaceId = pathId(req, 'workspace_id');
    checkVisible(req, workspaceId);
    const workspace = await get(workspaceId);
    if (!workspace) throw new BrokerError('not_found', 'there is no such workspace');
    return workspace;
  };
}
