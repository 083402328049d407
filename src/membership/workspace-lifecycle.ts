import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { assessRemoval, type RemovalImpact, removeMembers, stateDigest } from './removal.ts';

/** The sync lists of instance-level connections that the workspace is on; they belong to the login's folder. */
export interface SyncListDeparture {
  /** Locks their connections and checks that the workspace may leave (R7, R11). */
  lock(tx: Transaction, workspaceId: string, successor: string | undefined): Promise<readonly LeftList[]>;
  leave(tx: Transaction, list: LeftList, workspaceId: string): Promise<void>;
}

export interface LeftList {
  readonly connectionId: string;
  readonly version: number;
  readonly nextDefault: string | null;
}

export interface WorkspaceImpact extends RemovalImpact {
  /** Connections of its own that are switched off. */
  readonly connections: readonly string[];
  /** Connections of the instance whose sync list it leaves. */
  readonly syncLists: readonly string[];
  readonly appGroups: number;
  readonly apiKeys: number;
}

export type WorkspaceRemoval =
  | { readonly kind: 'unconfirmed'; readonly impact: WorkspaceImpact; readonly token: string; readonly stale: boolean }
  | { readonly kind: 'removed'; readonly connectionIds: readonly string[]; readonly members: number };

export type WorkspaceLifecycle = ReturnType<typeof createWorkspaceLifecycle>;

/**
 * Deletes workspaces, which archives them: nothing that others refer to disappears. Every membership ends with its event, own
 * connections are switched off, sync lists are left, API keys are revoked; app groups, past events and the slug stay as they are.
 */
export function createWorkspaceLifecycle(deps: {
  readonly db: Database;
  readonly syncLists: SyncListDeparture;
  readonly now: () => Date;
}) {
  const { db, syncLists, now } = deps;

  return {
    /**
     * Says first who would lose what; with the token of exactly that state it is done, in one transaction.
     * @param successor R7: the workspace that becomes the default where this one is
     * @throws BrokerError `not_found`, also for one that was archived before; `conflict` (R7, R11)
     */
    async remove(
      workspaceId: string,
      { confirm, successor }: { readonly confirm?: string | undefined; readonly successor?: string | undefined },
    ): Promise<WorkspaceRemoval> {
      return db.transaction(async (tx) => {
        const slug = await activeSlug(tx, workspaceId);
        // Connections, then users, then the workspace: logins lock them in this order.
        const lists = await syncLists.lock(tx, workspaceId, successor);
        const connections = await lockOwnConnections(tx, workspaceId);
        const impact = await assess(tx, workspaceId, { connections, lists });
        const token = stateDigest(['archive', workspaceId, impact.digest, connections, lists, impact.appGroups, impact.apiKeys]);
        if (confirm !== token) return { kind: 'unconfirmed', impact, token, stale: confirm !== undefined };

        const cause = { kind: 'api', connection_id: null, login_id: null } as const;
        const which = { workspaceId, workspaceSlug: slug, connectionId: null };
        const members = await removeMembers(tx, which, { cause, now: now() });
        for (const list of lists) await syncLists.leave(tx, list, workspaceId);
        await switchOff(tx, workspaceId, now());
        return {
          kind: 'removed',
          members,
          connectionIds: [...connections, ...lists.map(({ connectionId }) => connectionId)],
        };
      });
    },
  };
}

async function activeSlug(tx: Transaction, workspaceId: string): Promise<string> {
  const row = await tx('workspaces')
    .where({ workspace_id: workspaceId, status: 'active' })
    .first<{ slug: string } | undefined>('slug');
  if (!row) throw new BrokerError('not_found', 'there is no such workspace, or it is archived');
  return row.slug;
}

async function lockOwnConnections(tx: Transaction, workspaceId: string): Promise<readonly string[]> {
  const { rows } = await tx.raw<{ rows: { connection_id: string }[] }>(
    'SELECT connection_id FROM connections WHERE workspace_id = ? AND enabled ORDER BY connection_id FOR NO KEY UPDATE',
    [workspaceId],
  );
  return rows.map(({ connection_id }) => connection_id);
}

async function assess(
  tx: Transaction,
  workspaceId: string,
  { connections, lists }: { readonly connections: readonly string[]; readonly lists: readonly LeftList[] },
): Promise<WorkspaceImpact> {
  const members = await assessRemoval(tx, { workspaceId, connectionId: null });
  const { rows } = await tx.raw<{ rows: { app_groups: string; api_keys: string }[] }>(
    `SELECT (SELECT count(*) FROM app_groups WHERE workspace_id = :workspaceId) AS app_groups,
            (SELECT count(*) FROM api_keys WHERE workspace_id = :workspaceId AND revoked_at IS NULL) AS api_keys`,
    { workspaceId },
  );
  return {
    ...members,
    connections,
    syncLists: lists.map(({ connectionId }) => connectionId),
    appGroups: Number(rows[0]?.app_groups),
    apiKeys: Number(rows[0]?.api_keys),
  };
}

async function switchOff(tx: Transaction, workspaceId: string, now: Date): Promise<void> {
  await tx('connections')
    .where({ workspace_id: workspaceId, enabled: true })
    .update({ enabled: false, version: tx.raw('version + 1'), updated_at: now });
  await tx('api_keys').where({ workspace_id: workspaceId, revoked_at: null }).update({ revoked_at: now });
  const archived = await tx('workspaces')
    .where({ workspace_id: workspaceId, status: 'active' })
    .update({ status: 'archived', archived_at: now, updated_at: now });
  // Somebody else archived it while this one was at it.
  if (archived === 0) throw new BrokerError('not_found', 'there is no such workspace, or it is archived');
}
