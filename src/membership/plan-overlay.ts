import { isDeepStrictEqual } from 'node:util';
import { type AppGroup, type GroupMapping, type GroupSyncSettings, settingsInForce } from '../domain/group-sync.ts';
import type { Transaction } from '../infra/postgres.ts';
import type { Touched, WriteChange } from './plan-types.ts';
import type { ConnectionInForce } from './reevaluation-store.ts';

/** What a change would put in force, to be laid over what is. */
export interface Overlay {
  readonly touched: Touched;
  /** The workspaces in which something differs, in the order of their ids. */
  readonly workspaceIds: readonly string[];
  /** The touched connections that would serve a workspace, by its id. */
  readonly connections: Served;
  /** The catalogues of the touched workspaces. */
  readonly catalogues: ReadonlyMap<string, readonly AppGroup[]>;
}

type Served = ReadonlyMap<string, readonly ConnectionInForce[]>;

const undo = new Error('a change that is only planned is taken back');

/** Makes the change, looks at what is in force then, and takes it back: its locks go with it. */
export async function tryChange(tx: Transaction, write: WriteChange): Promise<Overlay> {
  let seen: Omit<Overlay, 'workspaceIds'> | undefined;
  await tx
    .transaction(async (trial) => {
      const touched = await write(trial);
      seen = {
        touched,
        connections: await readServed(trial, touched.connectionIds),
        catalogues: await readCatalogues(trial, touched),
      };
      throw undo;
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error;
    });
  const overlay = seen as Omit<Overlay, 'workspaceIds'>;
  const before = await readServed(tx, overlay.touched.connectionIds);
  const existing = new Set(await tx('workspaces').where({ status: 'active' }).pluck<string[]>('workspace_id'));
  const differing = [...overlay.connections].filter(([id, after]) => !sameSettings(before.get(id) ?? [], after));
  const left = (overlay.touched.departures ?? []).map(({ workspaceId }) => workspaceId);
  const workspaceIds = new Set([...overlay.touched.workspaceIds, ...left, ...differing.map(([id]) => id)]);
  // A workspace that the change itself makes has no members.
  return { ...overlay, workspaceIds: [...workspaceIds].filter((id) => existing.has(id)).sort() };
}

/** A workspace's connections once the change is in force. Pure. */
export function laidOver(
  connections: ReadonlyMap<string, ConnectionInForce>,
  workspaceId: string,
  overlay: Overlay,
): ReadonlyMap<string, ConnectionInForce> {
  const touched = new Set(overlay.touched.connectionIds);
  const kept = [...connections].filter(([id]) => !touched.has(id));
  const laid = (overlay.connections.get(workspaceId) ?? []).map((connection) => [connection.connectionId, connection] as const);
  return new Map([...kept, ...laid]);
}

/** Each connection's settings once, however many workspaces inherit them. Indexes: connections_pkey, connection_workspaces_by_connection. */
async function readServed(tx: Transaction, connectionIds: readonly string[]): Promise<Served> {
  const ids = [...connectionIds];
  const connections: ConnectionRow[] = await tx('connections')
    .whereRaw('connection_id = ANY (?::uuid[]) AND enabled', [ids])
    .select('connection_id', 'workspace_id', 'version', 'group_sync', tx.raw("protocol->>'type' AS protocol"));
  const { rows: entries } = await tx.raw<{ rows: EntryRow[] }>(
    `SELECT s.connection_id, s.workspace_id, s.claim_name_override, s.mapping_override
       FROM connection_workspaces s JOIN workspaces w ON w.workspace_id = s.workspace_id AND w.status = 'active'
      WHERE s.connection_id = ANY (?::uuid[]) AND s.enabled`,
    [ids],
  );
  const served = new Map<string, ConnectionInForce[]>();
  const serve = (workspaceId: string, row: ConnectionRow, settings: GroupSyncSettings) => {
    const { connection_id: connectionId, version, protocol } = row;
    const others = served.get(workspaceId);
    const connection = { connectionId, version: Number(version), protocol, settings };
    if (others) others.push(connection);
    else served.set(workspaceId, [connection]);
  };
  const byId = new Map(connections.map((row) => [row.connection_id, row]));
  for (const row of connections) if (row.workspace_id !== null) serve(row.workspace_id, row, row.group_sync);
  for (const entry of entries) {
    const row = byId.get(entry.connection_id);
    if (!row || row.workspace_id !== null) continue;
    const overrides = { claimName: entry.claim_name_override, mapping: entry.mapping_override };
    serve(entry.workspace_id, row, settingsInForce(row.group_sync, overrides));
  }
  return served;
}

async function readCatalogues(tx: Transaction, touched: Touched): Promise<Map<string, AppGroup[]>> {
  const deleted = new Set(touched.deletedGroupIds);
  const catalogues = new Map<string, AppGroup[]>();
  for (const workspaceId of touched.workspaceIds) {
    const groups: AppGroup[] = await tx('app_groups')
      .where({ workspace_id: workspaceId })
      .select('group_id as groupId', 'name', 'requires_role as requiresRole');
    catalogues.set(
      workspaceId,
      groups.filter(({ groupId }) => !deleted.has(groupId)),
    );
  }
  return catalogues;
}

/** Versions differ by the change itself. */
function sameSettings(left: readonly ConnectionInForce[], right: readonly ConnectionInForce[]): boolean {
  const settings = (served: readonly ConnectionInForce[]) => new Map(served.map((each) => [each.connectionId, each.settings]));
  return isDeepStrictEqual(settings(left), settings(right));
}

interface ConnectionRow {
  readonly connection_id: string;
  readonly workspace_id: string | null;
  readonly version: string;
  readonly group_sync: GroupSyncSettings;
  readonly protocol: 'saml' | 'oidc';
}

interface EntryRow {
  readonly connection_id: string;
  readonly workspace_id: string;
  readonly claim_name_override: string | null;
  readonly mapping_override: GroupMapping | null;
}
