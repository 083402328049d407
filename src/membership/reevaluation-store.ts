import type { GroupSyncSettings } from '../domain/group-sync.ts';
import { settingsInForce } from '../domain/group-sync.ts';
import type { User } from '../domain/user.ts';
import type { Transaction } from '../infra/postgres.ts';
import type { StoredMembership } from './decision.ts';
import { userOf } from './store.ts';

/** Every statement of a re-evaluation. The decisions are in `reevaluate.ts`. */

/** A member with what the next login would go by. */
export interface MemberToReevaluate {
  readonly user: User;
  /** Null: known to a connection that serves the workspace, without a membership so far. */
  readonly membership: StoredMembership | null;
  /** Null: no connection that serves this workspace and is switched on knows the user. */
  readonly lastLogin: LastLogin | null;
}

/** The identity that the user last used for this workspace. */
export interface LastLogin {
  readonly connectionId: string;
  /** Claim name to group names, of the last answer in which they were known; null: never known. */
  readonly groups: Readonly<Record<string, readonly string[]>> | null;
}

/** What is in force for one workspace at one connection. */
export interface ConnectionInForce {
  readonly connectionId: string;
  readonly version: number;
  readonly protocol: 'saml' | 'oidc';
  readonly settings: GroupSyncSettings;
}

/** Locks the users in the order of their ids, as logins do one by one: what is read after it stays until commit (R28). */
export async function lockUsers(tx: Transaction, userIds: readonly string[]): Promise<void> {
  await tx.raw('SELECT user_id FROM users WHERE user_id = ANY (?::uuid[]) ORDER BY user_id FOR NO KEY UPDATE', [[...userIds]]);
}

/**
 * The connections that serve a workspace and are switched on. Read once for many members: a mapping may have thousands of rules.
 * Indexes: connections_by_workspace, connection_workspaces_pkey.
 */
export async function readConnectionsInForce(
  tx: Transaction,
  workspaceId: string,
): Promise<ReadonlyMap<string, ConnectionInForce>> {
  const { rows } = await tx.raw<{ rows: ConnectionRow[] }>(
    `SELECT c.connection_id, c.version, c.protocol->>'type' AS protocol, c.group_sync,
            NULL AS claim_name_override, NULL::jsonb AS mapping_override
       FROM connections c WHERE c.workspace_id = :workspaceId AND c.enabled
      UNION ALL
     SELECT c.connection_id, c.version, c.protocol->>'type', c.group_sync, s.claim_name_override, s.mapping_override
       FROM connection_workspaces s JOIN connections c ON c.connection_id = s.connection_id AND c.enabled AND c.workspace_id IS NULL
      WHERE s.workspace_id = :workspaceId AND s.enabled`,
    { workspaceId },
  );
  return new Map(rows.map((row) => [row.connection_id, connectionInForceOf(row)]));
}

/**
 * The active members among these users, in the order of their ids. Indexes: memberships_pkey, users_pkey, identities_by_user.
 * @param options `connections`: those that count, by id; `everyone`: also active users without an active membership, if one of the
 * connections knows them
 */
export async function readMembers(
  tx: Transaction,
  workspaceId: string,
  userIds: readonly string[],
  { connections, everyone = false }: { readonly connections: ReadonlyMap<string, unknown>; readonly everyone?: boolean },
): Promise<readonly MemberToReevaluate[]> {
  const { rows } = await tx.raw<{ rows: MemberRow[] }>(
    `SELECT u.*, m.role, m.version, m.reasons, m.status AS membership_status, source.connection_id, source.last_groups,
            coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name))
                        FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]') AS groups
       FROM users u LEFT JOIN memberships m ON m.workspace_id = :workspaceId AND m.user_id = u.user_id
       LEFT JOIN LATERAL (
         SELECT i.connection_id, i.last_groups FROM identities i
          WHERE i.user_id = u.user_id AND i.connection_id = ANY (:connectionIds::uuid[])
          ORDER BY i.connection_id IS NOT DISTINCT FROM m.connection_id DESC, i.last_login_at DESC NULLS LAST, i.connection_id, i.subject
          LIMIT 1
       ) source ON true
      WHERE u.user_id = ANY (:userIds::uuid[])
        AND (m.status = 'active' OR :everyone AND u.status = 'active' AND source.connection_id IS NOT NULL) ORDER BY u.user_id`,
    { workspaceId, connectionIds: [...connections.keys()], userIds: [...userIds], everyone },
  );
  return rows.map((row) => ({
    user: userOf({ ...row }),
    membership: membershipOf(row, workspaceId),
    lastLogin: row.connection_id === null ? null : { connectionId: row.connection_id, groups: row.last_groups },
  }));
}

export interface ReevaluatedRecord {
  readonly user_id: string;
  readonly role: string;
  readonly group_ids: readonly string[];
  readonly status: 'active' | 'removed';
  readonly version: number;
  readonly reasons: readonly unknown[];
  readonly warnings: readonly unknown[];
  readonly connection_id: string;
  readonly fingerprint: string | null;
}

/** All members of one batch in one statement. The login that the last-seen groups came from stays. */
export async function saveReevaluated(
  tx: Transaction,
  workspaceId: string,
  records: readonly ReevaluatedRecord[],
  now: Date,
): Promise<void> {
  if (records.length === 0) return;
  await tx.raw(
    `INSERT INTO memberships AS m (workspace_id, user_id, role, group_ids, status, version, reasons, warnings, connection_id,
                                   fingerprint, created_at, updated_at)
     SELECT :workspaceId, r.user_id, r.role, ARRAY(SELECT jsonb_array_elements_text(r.group_ids)::uuid), r.status, r.version,
            r.reasons, r.warnings, r.connection_id, r.fingerprint, :now, :now
       FROM jsonb_to_recordset(:records::jsonb) AS r (user_id uuid, role text, group_ids jsonb, status text, version bigint,
                                                      reasons jsonb, warnings jsonb, connection_id uuid, fingerprint text)
     ON CONFLICT (workspace_id, user_id) DO UPDATE
       SET role = excluded.role, group_ids = excluded.group_ids, status = excluded.status, version = excluded.version,
           reasons = excluded.reasons, warnings = excluded.warnings, fingerprint = excluded.fingerprint,
           connection_id = excluded.connection_id, updated_at = excluded.updated_at
     -- A re-evaluation that finds everything as it is writes nothing.
     WHERE (m.version, m.fingerprint, m.connection_id) IS DISTINCT FROM
           (excluded.version, excluded.fingerprint, excluded.connection_id)`,
    { workspaceId, now, records: JSON.stringify(records) },
  );
}

/** R30: serialises changes to the admins of a workspace, then says whether anybody but these users holds the highest role. */
export async function hasAdminBeside(
  tx: Transaction,
  workspaceId: string,
  userIds: readonly string[],
  adminRole: string,
): Promise<boolean> {
  await tx.raw('SELECT 1 FROM workspaces WHERE workspace_id = ? FOR NO KEY UPDATE', [workspaceId]);
  const { rows } = await tx.raw(
    `SELECT 1 FROM memberships m JOIN users u ON u.user_id = m.user_id
      WHERE m.workspace_id = ? AND m.role = ? AND m.status = 'active' AND m.user_id <> ALL (?::uuid[]) AND u.status = 'active' LIMIT 1`,
    [workspaceId, adminRole, [...userIds]],
  );
  return rows.length > 0;
}

interface ConnectionRow {
  readonly connection_id: string;
  readonly version: string;
  readonly protocol: 'saml' | 'oidc';
  readonly group_sync: GroupSyncSettings;
  readonly claim_name_override: string | null;
  readonly mapping_override: GroupSyncSettings['mapping'] | null;
}

function connectionInForceOf(row: ConnectionRow): ConnectionInForce {
  const overrides = { claimName: row.claim_name_override, mapping: row.mapping_override };
  const settings = settingsInForce(row.group_sync, overrides);
  return { connectionId: row.connection_id, version: Number(row.version), protocol: row.protocol, settings };
}

interface MemberRow {
  readonly user_id: string;
  readonly role: string;
  readonly version: string;
  readonly reasons: StoredMembership['reasons'];
  readonly groups: StoredMembership['groups'];
  readonly membership_status: StoredMembership['status'] | null;
  readonly connection_id: string | null;
  readonly last_groups: LastLogin['groups'];
}

function membershipOf(row: MemberRow, workspaceId: string): StoredMembership | null {
  const { user_id: userId, role, reasons, groups, membership_status: status } = row;
  return status && { workspaceId, userId, role, groups, reasons, status, version: Number(row.version) };
}
