import { createHash } from 'node:crypto';
import type { FieldError } from '../domain/broker-error.ts';
import type { Transaction } from '../infra/postgres.ts';

/** Everything that an evaluation goes by, short enough to be compared: versions, and digests that depend on no order. */
export interface World {
  /** Connections that serve the workspaces, in the order of their ids. */
  readonly connections: readonly { readonly id: string; readonly version: number }[];
  readonly workspaces: readonly { readonly id: string; readonly catalogueVersion: number; readonly status: string }[];
  /** The groups last seen, of everyone whom the connections know. */
  readonly lastGroups: Digest;
  readonly memberships: Digest;
}

interface Digest {
  readonly count: number;
  readonly sum: string;
}

/**
 * The world of these workspaces, and of connections that are to change even where no workspace would notice. Indexes:
 * connections_by_workspace, identities_by_connection_user, memberships_pkey.
 */
export async function readWorld(
  tx: Transaction,
  { workspaceIds, connectionIds }: { readonly workspaceIds: readonly string[]; readonly connectionIds: readonly string[] },
): Promise<World> {
  const ids = [...workspaceIds].sort();
  const workspaces = await tx.raw<Rows<{ id: string; catalogueVersion: number; status: string }>>(
    `SELECT workspace_id AS id, catalogue_version AS "catalogueVersion", status FROM workspaces
      WHERE workspace_id = ANY (?::uuid[]) ORDER BY workspace_id`,
    [ids],
  );
  const connections = await tx.raw<Rows<{ id: string; version: number }>>(
    `SELECT connection_id AS id, version FROM connections c
      WHERE c.connection_id = ANY (:connectionIds::uuid[]) OR c.workspace_id = ANY (:ids::uuid[])
         OR c.workspace_id IS NULL AND EXISTS (
              SELECT FROM connection_workspaces s WHERE s.connection_id = c.connection_id AND s.workspace_id = ANY (:ids::uuid[]))
      ORDER BY connection_id`,
    { ids, connectionIds: [...connectionIds] },
  );
  const lastGroups = await tx.raw<Rows<Digest>>(
    `SELECT count(*) AS count, coalesce(sum(hashtextextended(
              concat_ws('|', i.connection_id, i.user_id, i.subject, i.groups_fingerprint, u.status), 0)::numeric), 0)::text AS sum
       FROM identities i JOIN users u ON u.user_id = i.user_id WHERE i.connection_id = ANY (?::uuid[])`,
    [connections.rows.map(({ id }) => id)],
  );
  const memberships = await tx.raw<Rows<Digest>>(
    `SELECT count(*) AS count, coalesce(sum(hashtextextended(
              concat_ws('|', m.workspace_id, m.user_id, m.version, m.status, u.status), 0)::numeric), 0)::text AS sum
       FROM memberships m JOIN users u ON u.user_id = m.user_id WHERE m.workspace_id = ANY (?::uuid[])`,
    [ids],
  );
  return {
    connections: connections.rows.map(({ id, version }) => ({ id, version })),
    workspaces: workspaces.rows.map(({ id, catalogueVersion, status }) => ({ id, catalogueVersion, status })),
    lastGroups: { ...(lastGroups.rows[0] as Digest) },
    memberships: { ...(memberships.rows[0] as Digest) },
  };
}

/** Holds back changes of connections and catalogues until the transaction ends. */
export async function lockWorld(tx: Transaction, { connections, workspaces }: World): Promise<void> {
  await tx.raw('SELECT 1 FROM connections WHERE connection_id = ANY (?::uuid[]) ORDER BY connection_id FOR UPDATE', [
    connections.map(({ id }) => id),
  ]);
  await tx.raw('SELECT 1 FROM workspaces WHERE workspace_id = ANY (?::uuid[]) ORDER BY workspace_id FOR NO KEY UPDATE', [
    workspaces.map(({ id }) => id),
  ]);
}

/** What is not as it was. Pure. */
export function whatMoved(before: World, now: World): FieldError[] {
  const moved: FieldError[] = [];
  const known = new Map(before.connections.map(({ id, version }) => [id, version]));
  for (const { id, version } of now.connections) {
    const was = known.get(id);
    if (was === undefined) moved.push({ path: `connections.${id}`, message: 'serves a workspace of the plan since then' });
    else if (was !== version) moved.push({ path: `connections.${id}`, message: `version ${was} is now version ${version}` });
    known.delete(id);
  }
  for (const id of known.keys()) moved.push({ path: `connections.${id}`, message: 'serves no workspace of the plan any more' });
  for (const { id, catalogueVersion, status } of before.workspaces) {
    const is = now.workspaces.find((workspace) => workspace.id === id);
    if (is?.status !== status) moved.push({ path: `workspaces.${id}`, message: `${status} is now ${is?.status ?? 'gone'}` });
    else if (is.catalogueVersion !== catalogueVersion) {
      const message = `catalogue version ${catalogueVersion} is now version ${is.catalogueVersion}`;
      moved.push({ path: `workspaces.${id}.app_groups`, message });
    }
  }
  if (differs(before.lastGroups, now.lastGroups))
    moved.push({ path: 'last_groups', message: 'users logged in with other groups' });
  if (differs(before.memberships, now.memberships)) moved.push({ path: 'memberships', message: 'memberships changed' });
  return moved;
}

function differs(left: Digest, right: Digest): boolean {
  return left.count !== right.count || left.sum !== right.sum;
}

/** What apply has to carry: it stands for this change in this world. */
export function planHash(change: unknown, world: World): string {
  return createHash('sha256')
    .update(canonical([change, world]))
    .digest('base64url');
}

/** Postgres keeps no order of keys in `jsonb`. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([left], [right]) => (left < right ? -1 : 1)))
      : part,
  );
}

interface Rows<Row> {
  readonly rows: readonly Row[];
}
