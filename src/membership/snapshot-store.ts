import { BrokerError } from '../domain/broker-error.ts';
import type { GroupRef } from '../domain/membership.ts';
import type { Transaction } from '../infra/postgres.ts';
import type { DigestedMember } from './digest.ts';

/** A member as a snapshot shows it, those who left (`removed`) too. */
export interface SnapshotMember {
  readonly userId: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly userStatus: 'active' | 'archived';
  readonly role: string;
  readonly groups: readonly GroupRef[];
  readonly status: 'active' | 'removed';
  readonly version: number;
}

/** What snapshot and digest begin with. */
export interface SnapshotHead {
  readonly workspace: { readonly id: string; readonly slug: string };
  /** Reading the event log from here on brings what was read up to date; `0`: from its beginning. */
  readonly cursor: string;
  readonly takenAt: Date;
}

/**
 * Reads where the transaction stands; the first statement of it, which fixes what all later ones see.
 *
 * Everything in the log up to the cursor is in the snapshot: fan-out, which writes the log, sees a change only once it committed. Changes
 * that committed and are not fanned out yet are in it as well and come again after the cursor: the version tells.
 * @throws BrokerError `not_found`
 */
export async function readHead(tx: Transaction, workspaceId: string): Promise<SnapshotHead> {
  const { rows } = await tx.raw<{ rows: { slug: string; cursor: string; taken_at: Date }[] }>(
    `SELECT slug, coalesce((SELECT max(sequence) FROM event_log), 0)::text AS cursor, transaction_timestamp() AS taken_at
       FROM workspaces WHERE workspace_id = ?`,
    [workspaceId],
  );
  const row = rows[0];
  if (!row) throw new BrokerError('not_found', 'there is no such workspace');
  return { workspace: { id: workspaceId, slug: row.slug }, cursor: row.cursor, takenAt: row.taken_at };
}

/** Before every user id. */
export const beforeFirst = '00000000-0000-0000-0000-000000000000';

/** Names of the workspace's groups by id: read once, so that batches need not look them up for each member. */
export async function readGroupNames(tx: Transaction, workspaceId: string): Promise<ReadonlyMap<string, string>> {
  const { rows } = await tx.raw<{ rows: { group_id: string; name: string }[] }>(
    'SELECT group_id, name FROM app_groups WHERE workspace_id = ?',
    [workspaceId],
  );
  return new Map(rows.map(({ group_id: groupId, name }) => [groupId, name]));
}

/** Where to read on in the order of user ids, and how far at the most. */
export interface MemberPage {
  readonly workspaceId: string;
  readonly after: string;
  readonly limit: number;
}

/** The next members. The page comes first, from memberships_pkey: a join before the limit would read all users again for every page. */
export async function readMembersAfter(
  tx: Transaction,
  page: MemberPage,
  groupNames: ReadonlyMap<string, string>,
): Promise<readonly SnapshotMember[]> {
  const { rows } = await tx.raw<{ rows: MemberRow[] }>(
    `SELECT m.*, u.email, u.name, u.status AS user_status
       FROM (SELECT ${memberColumns} FROM memberships
              WHERE workspace_id = :workspaceId AND user_id > :after ORDER BY user_id LIMIT :limit) AS m
       JOIN users u ON u.user_id = m.user_id ORDER BY m.user_id`,
    { ...page },
  );
  return rows.map((row) => ({
    userId: row.user_id,
    email: row.email,
    name: row.name,
    userStatus: row.user_status,
    role: row.role,
    groups: groupIdsOf(row, groupNames).map((groupId) => ({ groupId, name: groupNames.get(groupId) as string })),
    status: row.status,
    version: row.version,
  }));
}

/** Of the same members what a digest needs, without a look at the users. */
export async function readStatesAfter(
  tx: Transaction,
  page: MemberPage,
  groupNames: ReadonlyMap<string, string>,
): Promise<readonly (DigestedMember & Pick<SnapshotMember, 'status'>)[]> {
  const { rows } = await tx.raw<{ rows: StateRow[] }>(
    `SELECT ${memberColumns} FROM memberships
      WHERE workspace_id = :workspaceId AND user_id > :after ORDER BY user_id LIMIT :limit`,
    { ...page },
  );
  return rows.map((row) => ({
    userId: row.user_id,
    role: row.role,
    groupIds: groupIdsOf(row, groupNames),
    status: row.status,
    version: row.version,
  }));
}

/** The array as text: the driver's parser of arrays costs more than the rest of the row. */
const memberColumns = "user_id, role, array_to_string(group_ids, ',') AS group_ids, status, version";

interface StateRow {
  readonly user_id: string;
  readonly role: string;
  readonly group_ids: string;
  readonly status: 'active' | 'removed';
  readonly version: number;
}

interface MemberRow extends StateRow {
  readonly email: string | null;
  readonly name: string | null;
  readonly user_status: 'active' | 'archived';
}

/** A group that is gone from the catalogue is no group, wherever members are shown. */
function groupIdsOf({ group_ids: list }: StateRow, names: ReadonlyMap<string, string>): readonly string[] {
  return list === '' ? [] : list.split(',').filter((groupId) => names.has(groupId));
}
