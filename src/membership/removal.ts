import { createHash } from 'node:crypto';
import type { User } from '../domain/user.ts';
import type { MembershipData } from '../domain/webhook-event.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { appendEvents } from '../outbox/append.ts';
import type { StoredMembership } from './decision.ts';
import { diffMembership } from './diff.ts';
import { membershipEvent } from './events.ts';
import { lockUsers } from './reevaluation-store.ts';
import { userOf } from './store.ts';

const membersPerStatement = 500;
const membersShown = 20;

/** Members of one workspace: all, or those whose membership came by one connection. */
export interface MembersToRemove {
  readonly workspaceId: string;
  readonly connectionId: string | null;
}

/** Who would lose what, before it happens. */
export interface RemovalImpact {
  readonly members: number;
  /** Role to the number of members who hold it. */
  readonly byRole: Readonly<Record<string, number>>;
  /** The first members in the order of their ids. */
  readonly first: readonly { readonly userId: string; readonly role: string; readonly groups: readonly string[] }[];
  /** Over every member and their version: another one means that somebody came, went or changed. */
  readonly digest: string;
}

const selection = `m.workspace_id = :workspaceId AND m.status = 'active'
  AND (:connectionId::uuid IS NULL OR m.connection_id = :connectionId::uuid)`;

/** Indexes: memberships_pkey, memberships_by_connection. */
export async function assessRemoval(db: Database | Transaction, which: MembersToRemove): Promise<RemovalImpact> {
  const bindings = { workspaceId: which.workspaceId, connectionId: which.connectionId };
  const { rows: roles } = await db.raw<{ rows: { role: string; members: string; states: string }[] }>(
    `SELECT m.role, count(*) AS members, string_agg(m.user_id || ':' || m.version, ',' ORDER BY m.user_id) AS states
       FROM memberships m WHERE ${selection} GROUP BY m.role ORDER BY m.role`,
    bindings,
  );
  const { rows: first } = await db.raw<{ rows: RemovalImpact['first'] }>(
    `SELECT m.user_id AS "userId", m.role, ARRAY(
              SELECT g.name FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)
               ORDER BY g.name COLLATE "C") AS groups
       FROM memberships m WHERE ${selection} ORDER BY m.user_id LIMIT :membersShown`,
    { ...bindings, membersShown },
  );
  return {
    members: roles.reduce((sum, { members }) => sum + Number(members), 0),
    byRole: Object.fromEntries(roles.map(({ role, members }) => [role, Number(members)])),
    first,
    digest: stateDigest(roles.map(({ role, states }) => [role, states])),
  };
}

/** A short form of what somebody was shown, to see whether it still holds. */
export function stateDigest(state: unknown): string {
  return createHash('sha256').update(JSON.stringify(state)).digest('base64url');
}

/**
 * Ends memberships with their events, within the caller's transaction. Versions go on from here, should the member come back.
 * @returns how many ended
 */
export async function removeMembers(
  tx: Transaction,
  which: MembersToRemove & { readonly workspaceSlug: string },
  { cause, now }: { readonly cause: MembershipData['cause']; readonly now: Date },
): Promise<number> {
  let removed = 0;
  for (let after: string | null = null; ; ) {
    const userIds: string[] = await nextUserIds(tx, which, after);
    await lockUsers(tx, userIds);
    const members = await readActive(tx, { workspaceIds: [which.workspaceId], userIds, connectionId: which.connectionId });
    await endMemberships(tx, members, { cause, now });
    removed += members.length;
    if (userIds.length < membersPerStatement) return removed;
    after = userIds.at(-1) ?? null;
  }
}

/** Ends all memberships of one user; the caller holds the user's lock. */
export async function removeMembershipsOf(
  tx: Transaction,
  userId: string,
  about: { readonly cause: MembershipData['cause']; readonly now: Date },
): Promise<void> {
  await endMemberships(tx, await readActive(tx, { workspaceIds: null, userIds: [userId], connectionId: null }), about);
}

async function nextUserIds(tx: Transaction, which: MembersToRemove, after: string | null): Promise<string[]> {
  const { rows } = await tx.raw<{ rows: { user_id: string }[] }>(
    `SELECT m.user_id FROM memberships m WHERE ${selection} AND (:after::uuid IS NULL OR m.user_id > :after::uuid)
      ORDER BY m.user_id LIMIT :limit`,
    { workspaceId: which.workspaceId, connectionId: which.connectionId, after, limit: membersPerStatement },
  );
  return rows.map(({ user_id }) => user_id);
}

interface ActiveMember {
  readonly user: User;
  readonly workspaceSlug: string;
  readonly membership: StoredMembership;
}

async function readActive(
  tx: Transaction,
  which: {
    readonly workspaceIds: readonly string[] | null;
    readonly userIds: readonly string[];
    readonly connectionId: string | null;
  },
): Promise<readonly ActiveMember[]> {
  const { rows } = await tx.raw<{ rows: ActiveRow[] }>(
    `SELECT u.*, m.workspace_id, w.slug, m.role, m.version,
            coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name))
                        FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]') AS groups
       FROM memberships m JOIN users u ON u.user_id = m.user_id JOIN workspaces w ON w.workspace_id = m.workspace_id
      WHERE m.user_id = ANY (:userIds::uuid[]) AND m.status = 'active'
        AND (:workspaceIds::uuid[] IS NULL OR m.workspace_id = ANY (:workspaceIds::uuid[]))
        AND (:connectionId::uuid IS NULL OR m.connection_id = :connectionId::uuid)
      ORDER BY m.user_id, m.workspace_id`,
    { ...which, userIds: [...which.userIds], workspaceIds: which.workspaceIds && [...which.workspaceIds] },
  );
  return rows.map((row) => ({ user: userOf({ ...row }), workspaceSlug: row.slug, membership: activeOf(row) }));
}

async function endMemberships(
  tx: Transaction,
  members: readonly ActiveMember[],
  { cause, now }: { readonly cause: MembershipData['cause']; readonly now: Date },
): Promise<void> {
  if (members.length === 0) return;
  const events = members.flatMap(({ user, workspaceSlug, membership }) => {
    const change = diffMembership(membership, { ...membership, groups: [], status: 'removed' });
    const workspace = { workspaceId: membership.workspaceId, workspaceSlug };
    return change ? [membershipEvent(change, workspace, { user, cause, now })] : [];
  });
  await tx.raw(
    `UPDATE memberships m
        SET status = 'removed', group_ids = '{}', version = m.version + 1, reasons = '[]', warnings = '[]', fingerprint = NULL,
            login_id = NULL, updated_at = :now
       FROM unnest(:workspaceIds::uuid[], :userIds::uuid[]) AS r (workspace_id, user_id)
      WHERE m.workspace_id = r.workspace_id AND m.user_id = r.user_id`,
    {
      now,
      workspaceIds: members.map(({ membership }) => membership.workspaceId),
      userIds: members.map(({ user }) => user.userId),
    },
  );
  await appendEvents(tx, events, { now });
}

interface ActiveRow {
  readonly user_id: string;
  readonly workspace_id: string;
  readonly slug: string;
  readonly role: string;
  readonly version: string;
  readonly groups: StoredMembership['groups'];
}

function activeOf(row: ActiveRow): StoredMembership {
  const { workspace_id: workspaceId, user_id: userId, role, groups } = row;
  return { workspaceId, userId, role, groups, reasons: [], status: 'active', version: Number(row.version) };
}
