import { LRUCache } from 'lru-cache';
import type { Database } from '../infra/postgres.ts';
import type { Revised } from '../infra/revision-feed.ts';
import { isUniqueId } from '../infra/unique-id.ts';

/** What logins go by: a connection with its sync list and domains; the catalogue of a workspace, which has the workspace's id. */
export type RevisedKind = 'connection' | 'catalogue';

/** Of NOTIFY (the triggers of the tables send it) and of Redis. */
export const revisionChannel = 'rollcall_revisions';

/**
 * Transactions below the horizon had ended when the reading before was made, so that it saw what they wrote; one that was open then
 * is found later, however long it takes. Indexes: connections_by_revision, workspaces_by_catalogue_revision.
 */
const selectRevised = `
  SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, coalesce((
    SELECT json_agg(json_build_object('kind', kind, 'id', id, 'revision', revision)) FROM (
      SELECT 'connection' AS kind, connection_id AS id, revision FROM connections WHERE revised_in >= :since::xid8
      UNION ALL
      SELECT 'catalogue', workspace_id, catalogue_revision FROM workspaces WHERE catalogue_revised_in >= :since::xid8
    ) AS found), '[]') AS revised`;

export async function readRevised(db: Database, since: string | null) {
  const { rows } = await db.raw<{ rows: { horizon: string; revised: readonly Revised<RevisedKind>[] }[] }>(selectRevised, {
    since,
  });
  return rows[0] as { horizon: string; revised: readonly Revised<RevisedKind>[] };
}

export function revisionMessage({ kind, id, revision }: Revised<RevisedKind>): string {
  return revision === null ? `${kind} ${id}` : `${kind} ${id} ${revision}`;
}

/** Null: not a message of ours. Whoever can send one makes caches load, and nothing else. */
export function parseRevisionMessage(message: string): Revised<RevisedKind> | null {
  const [kind, id = '', revision, ...rest] = message.split(' ', 4);
  if ((kind !== 'connection' && kind !== 'catalogue') || !isUniqueId(id) || rest.length > 0) return null;
  // Revisions are remembered: what is none could be as long as its sender likes.
  if (revision !== undefined && !isUniqueId(revision)) return null;
  return { kind, id, revision: revision ?? null };
}

const maxRemembered = 20_000;

/** The same news comes by up to three ways, and by the feed as long as an older transaction is open: only the first counts. */
export function createNewsFilter(): (revised: Revised<RevisedKind>) => boolean {
  const told = new LRUCache<string, string>({ max: maxRemembered });
  return ({ kind, id, revision }) => {
    if (revision === null) return true;
    const key = `${kind} ${id}`;
    if (told.get(key) === revision) return false;
    told.set(key, revision);
    return true;
  };
}
