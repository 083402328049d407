import { type Request, Router } from 'express';
import { z } from 'zod';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { ManualEdits } from '../../membership/manual-edit.ts';
import type { Member, MembershipStore } from '../../membership/store.ts';
import { holderOf } from '../admin-auth.ts';
import { checkIfMatch, hasPrecondition, sendTagged } from '../etag.ts';
import { parseBody, pathId } from '../request-input.ts';
import { memberView } from './members.ts';
import type { FindWorkspace } from './workspace-scope.ts';

export interface MemberEditRouteDeps {
  readonly members: Pick<MembershipStore, 'explain'>;
  readonly manualEdits: ManualEdits;
  readonly findWorkspace: FindWorkspace;
  /** Called when events were appended. */
  readonly onEvents: () => void;
}

/**
 * Edits of members by hand (R27). A key of one workspace changes and removes its members; one of the instance may add any user.
 */
export function createMemberEditRoutes({ members, manualEdits, findWorkspace, onEvents }: MemberEditRouteDeps): Router {
  const router = Router({ mergeParams: true });

  router.put('/:user_id', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    const userId = pathId(req, 'user_id');
    const { role, groups } = parseBody(memberEditSchema, req);
    const options = { precondition: preconditionOf(req), mayAdd: holderOf(req).workspaceId === null };
    if (await manualEdits.put(workspaceId, userId, { role, groupIds: groups }, options)) onEvents();
    sendTagged(req, res, memberView((await members.explain(workspaceId, userId)).member));
  });

  router.delete('/:user_id', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    if (await manualEdits.remove(workspaceId, pathId(req, 'user_id'), { precondition: preconditionOf(req) })) onEvents();
    res.status(204).end();
  });

  return router;
}

function preconditionOf(req: Request): ((current: Member | null) => void) | null {
  return hasPrecondition(req) ? (current) => checkIfMatch(req, current && memberView(current)) : null;
}

export const memberEditSchema = z.strictObject({
  role: z.string(),
  /** Ids of app groups: all that the member is to have. */
  groups: z
    .array(z.string().refine(isUniqueId, 'give the id of an app group'))
    .max(10_000)
    .refine((ids) => new Set(ids).size === ids.length, 'give each group once'),
});
