import { BrokerError } from '../domain/broker-error.ts';
import type { GroupMapping, GroupSyncSettings, SyncOverrides } from '../domain/group-sync.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import type { ListedWorkspace } from './sync-list-rules.ts';

/** Every statement about sync lists. Archived workspaces are on none. */

export interface EntryRow {
  readonly workspace_id: string;
  readonly slug: string;
  readonly is_default: boolean;
  readonly enabled: boolean;
  readonly claim_name_override: string | null;
  readonly mapping_override: GroupMapping | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** @throws BrokerError `not_found` for anything but an instance-level connection: no other has a list */
export async function readConnection(
  db: Database | Transaction,
  connectionId: string,
): Promise<{ readonly settings: GroupSyncSettings }> {
  const row = await db('connections')
    .where({ connection_id: connectionId, workspace_id: null })
    .first<{ group_sync: GroupSyncSettings } | undefined>('group_sync');
  if (!row) throw noConnection();
  return { settings: row.group_sync };
}

/**
 * Serialises changes of the list. Logins that let somebody in wait for it (`FOR SHARE`), so that nobody comes in behind a removal's count;
 * all others pass. They never lock the connection after a user, so whoever holds this lock may go on to lock users.
 * @returns the connection's version
 */
export async function lockConnection(tx: Transaction, connectionId: string): Promise<number> {
  const { rows } = await tx.raw<{ rows: { version: string }[] }>(
    'SELECT version FROM connections WHERE connection_id = ? AND workspace_id IS NULL FOR NO KEY UPDATE',
    [connectionId],
  );
  if (!rows[0]) throw noConnection();
  return Number(rows[0].version);
}

/** Indexes: connection_workspaces_by_connection, connection_workspaces_pkey. */
export async function readEntries(
  db: Database | Transaction,
  connectionId: string,
  page: { readonly workspaceId?: string; readonly after?: string | undefined; readonly limit: number },
): Promise<readonly EntryRow[]> {
  const { rows } = await db.raw<{ rows: EntryRow[] }>(
    `SELECT s.*, w.slug FROM connection_workspaces s JOIN workspaces w ON w.workspace_id = s.workspace_id
      WHERE s.connection_id = :connectionId AND (:workspaceId::uuid IS NULL OR s.workspace_id = :workspaceId::uuid)
        AND (:after::uuid IS NULL OR s.workspace_id > :after::uuid) AND w.status = 'active'
      ORDER BY s.workspace_id LIMIT :limit`,
    { connectionId, workspaceId: page.workspaceId ?? null, after: page.after ?? null, limit: page.limit },
  );
  return rows;
}

/** The whole list, without the mappings. */
export async function readListed(tx: Transaction, connectionId: string): Promise<readonly ListedWorkspace[]> {
  const { rows } = await tx.raw<{ rows: ListedWorkspace[] }>(
    `SELECT s.workspace_id AS "workspaceId", w.slug AS "workspaceSlug", s.is_default AS "isDefault", s.enabled,
            s.claim_name_override IS NULL AND s.mapping_override IS NULL AS inherits
       FROM connection_workspaces s JOIN workspaces w ON w.workspace_id = s.workspace_id
      WHERE s.connection_id = ? AND w.status = 'active'`,
    [connectionId],
  );
  return rows;
}

/** In the order of their ids, in which they are to be locked. Index: connection_workspaces_pkey. */
export async function connectionsListing(tx: Transaction, workspaceId: string): Promise<readonly string[]> {
  return tx('connection_workspaces').where({ workspace_id: workspaceId }).orderBy('connection_id').pluck('connection_id');
}

/** @param workspace id or slug */
export async function activeWorkspace(tx: Transaction, workspace: string): Promise<string | null> {
  const column = isUniqueId(workspace) ? 'workspace_id' : 'slug';
  const row = await tx('workspaces')
    .where({ [column]: workspace, status: 'active' })
    // Until commit the workspace cannot be archived.
    .forShare()
    .first<{ workspace_id: string } | undefined>('workspace_id');
  return row?.workspace_id ?? null;
}

export async function insertEntry(
  tx: Transaction,
  connectionId: string,
  workspaceId: string,
  input: SyncOverrides & { readonly enabled: boolean; readonly isDefault: boolean },
  now: Date,
): Promise<void> {
  await tx('connection_workspaces').insert({
    connection_id: connectionId,
    workspace_id: workspaceId,
    is_default: input.isDefault,
    enabled: input.enabled,
    claim_name_override: input.claimName,
    mapping_override: input.mapping && JSON.stringify(input.mapping),
    created_at: now,
    updated_at: now,
  });
}

export async function updateEntry(
  tx: Transaction,
  connectionId: string,
  workspaceId: string,
  patch: {
    readonly enabled?: boolean | undefined;
    readonly claimName?: string | null | undefined;
    readonly mapping?: GroupMapping | null | undefined;
  },
  now: Date,
): Promise<void> {
  const { enabled, claimName, mapping } = patch;
  await tx('connection_workspaces')
    .where({ connection_id: connectionId, workspace_id: workspaceId })
    .update({
      ...(enabled !== undefined && { enabled }),
      ...(claimName !== undefined && { claim_name_override: claimName }),
      ...(mapping !== undefined && { mapping_override: mapping && JSON.stringify(mapping) }),
      updated_at: now,
    });
}

/**
 * R10: a document that leaves out a workspace whose members came by this connection would end their access without a warning.
 * @throws BrokerError `conflict`
 */
export async function checkRemovals(
  tx: Transaction,
  stored: { readonly connectionId: string; readonly syncList: readonly { readonly workspaceId: string }[] },
  list: readonly { readonly workspaceId: string }[],
): Promise<void> {
  const staying = new Set(list.map(({ workspaceId }) => workspaceId));
  const leaving = stored.syncList.flatMap(({ workspaceId }) => (staying.has(workspaceId) ? [] : [workspaceId]));
  if (leaving.length === 0) return;
  // Index: memberships_by_connection.
  const { rows } = await tx.raw<{ rows: { workspace_id: string }[] }>(
    `SELECT w.workspace_id FROM unnest(?::uuid[]) AS w (workspace_id) WHERE EXISTS (
       SELECT FROM memberships m WHERE m.workspace_id = w.workspace_id AND m.connection_id = ? AND m.status = 'active')`,
    [leaving, stored.connectionId],
  );
  const [first] = rows;
  if (!first) return;
  const path = `/v1/connections/${stored.connectionId}/workspaces/${first.workspace_id}`;
  const message = `members came by this connection: remove the workspace with DELETE ${path}, which says who loses what`;
  throw new BrokerError('conflict', message, { reason: 'removal_unconfirmed', fields: [{ path: 'sync_list', message }] });
}

/** In two statements: the index allows one default at every moment. */
export async function moveDefault(tx: Transaction, connectionId: string, workspaceId: string, now: Date): Promise<void> {
  await tx('connection_workspaces')
    .where({ connection_id: connectionId, is_default: true })
    .update({ is_default: false, updated_at: now });
  await tx('connection_workspaces')
    .where({ connection_id: connectionId, workspace_id: workspaceId })
    .update({ is_default: true, updated_at: now });
}

export async function deleteEntry(tx: Transaction, connectionId: string, workspaceId: string): Promise<void> {
  await tx('connection_workspaces').where({ connection_id: connectionId, workspace_id: workspaceId }).delete();
}

export async function raiseVersion(tx: Transaction, connectionId: string, now: Date): Promise<void> {
  await tx('connections')
    .where({ connection_id: connectionId })
    .update({ version: tx.raw('version + 1'), updated_at: now });
}

function noConnection(): BrokerError {
  return new BrokerError('not_found', 'there is no such connection of the instance');
}
