import type { Request } from 'express';
import { BrokerError } from '../../domain/broker-error.ts';
import type { Workspace, WorkspaceStore } from '../../membership/workspace-store.ts';
import { checkVisible } from '../admin-auth.ts';
import { pathId } from '../request-input.ts';

/** The workspace that the path names, if the key may see it. */
export type FindWorkspace = (req: Request) => Promise<Workspace>;

export function createFindWorkspace({ get }: Pick<WorkspaceStore, 'get'>): FindWorkspace {
  return async (req) => {
    const workspaceId = pathId(req, 'workspace_id');
    checkVisible(req, workspaceId);
    const workspace = await get(workspaceId);
    if (!workspace) throw new BrokerError('not_found', 'there is no such workspace');
    return workspace;
  };
}
