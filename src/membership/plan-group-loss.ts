import type { Reason } from '../domain/membership.ts';
import type { Transaction } from '../infra/postgres.ts';
import { appendEvents } from '../outbox/append.ts';
import { diffMembership } from './diff.ts';
import { membershipEvent } from './events.ts';
import { lockUsers, readMembers } from './reevaluation-store.ts';

/**
 * Takes app groups that are about to be deleted from whoever still holds them: by hand, or while their IdP groups are not known.
 * The role stays: nothing says which role the member had without the group.
 * @param which `userIds` null: every holder of the workspace
 * @returns how many lost a group
 */
export async function loseGroups(
  tx: Transaction,
  which: {
    readonly workspaceId: string;
    readonly groupIds: readonly string[];
    readonly userIds: readonly string[] | null;
    readonly cause: 'api' | 'plan';
    readonly now: Date;
  },
): Promise<number> {
  const { workspaceId, groupIds, now } = which;
  const holders = await findHolders(tx, which);
  if (holders.length === 0) return 0;
  await lockUsers(tx, holders);
  const { slug } = await tx('workspaces').where({ workspace_id: workspaceId }).first<{ slug: string }>('slug');
  const gone = new Set(groupIds);
  const isGone = ({ grant }: Reason) => grant.kind === 'group' && gone.has(grant.groupId);
  const members = await readMembers(tx, workspaceId, holders, { connections: new Map() });
  const changes = members.flatMap(({ membership, user }) => {
    const groups = membership?.groups.filter(({ groupId }) => !gone.has(groupId));
    const change = membership && groups && diffMembership(membership, { ...membership, groups });
    return change ? [{ change, user, reasons: membership.reasons.filter((reason) => !isGone(reason)) }] : [];
  });
  await tx.raw(
    `UPDATE memberships m
        SET group_ids = ARRAY(SELECT jsonb_array_elements_text(r.group_ids)::uuid), version = r.version, reasons = r.reasons,
            fingerprint = NULL, updated_at = :now
       FROM jsonb_to_recordset(:records::jsonb) AS r (user_id uuid, group_ids jsonb, version bigint, reasons jsonb)
      WHERE m.workspace_id = :workspaceId AND m.user_id = r.user_id`,
    {
      workspaceId,
      now,
      records: JSON.stringify(
        changes.map(({ change: { next }, reasons }) => ({
          user_id: next.userId,
          group_ids: next.groups.map(({ groupId }) => groupId),
          version: next.version,
          reasons,
        })),
      ),
    },
  );
  const cause = { kind: which.cause, connection_id: null, login_id: null } as const;
  const workspace = { workspaceId, workspaceSlug: slug };
  const events = changes.map(({ change, user }) => membershipEvent(change, workspace, { user, cause, now }));
  await appendEvents(tx, events, { now });
  return changes.length;
}

/** Index: memberships_pkey. */
async function findHolders(
  tx: Transaction,
  which: { readonly workspaceId: string; readonly groupIds: readonly string[]; readonly userIds: readonly string[] | null },
): Promise<readonly string[]> {
  const { rows } = await tx.raw<{ rows: { user_id: string }[] }>(
    `SELECT user_id FROM memberships
      WHERE workspace_id = :workspaceId AND status = 'active' AND group_ids && :groupIds::uuid[]
        AND (:userIds::uuid[] IS NULL OR user_id = ANY (:userIds::uuid[]))`,
    { workspaceId: which.workspaceId, groupIds: [...which.groupIds], userIds: which.userIds && [...which.userIds] },
  );
  return rows.map(({ user_id }) => user_id);
}
