import { createEndpointStore } from '../delivery/endpoint-store.ts';
import { BrokerError } from '../domain/broker-error.ts';
import { clientView } from '../http/routes/clients.ts';
import { endpointView } from '../http/routes/endpoints.ts';
import { workspaceView } from '../http/routes/workspaces.ts';
import type { Transaction } from '../infra/postgres.ts';
import type { SealedBox } from '../infra/sealed-box.ts';
import { connectionDocument } from '../login/connection-document.ts';
import { createConnectionStore } from '../login/connection-store.ts';
import { syncListDeparture } from '../login/sync-list.ts';
import type { Departure } from '../membership/plan-types.ts';
import { createWorkspaceLifecycle } from '../membership/workspace-lifecycle.ts';
import { createWorkspaceStore, type Workspace } from '../membership/workspace-store.ts';
import { createClientStore } from '../provider/client-store.ts';
import type { Change } from './declarative-change.ts';
import { connectionSubject, membersText } from './declarative-connections.ts';
import type { Declaration } from './declarative-schema.ts';

export interface Pruned {
  readonly changes: readonly Change[];
  /** Connections that serve fewer workspaces, or none, from now on. */
  readonly connectionIds: readonly string[];
  readonly departures: readonly Departure[];
}

/**
 * Removes what the file does not name, of the lists that the file has. Nothing disappears that others refer to: workspaces are
 * archived and their members' access ends with events, connections are switched off, endpoints and clients end.
 * @param file `connectionIds`: of the connections that the file names
 * @throws BrokerError `conflict` where a workspace has to stay (R7, R11)
 */
export async function prune(
  tx: Transaction,
  file: { readonly declaration: Declaration; readonly lists: ReadonlySet<string>; readonly connectionIds: readonly string[] },
  deps: { readonly sealedBox: SealedBox; readonly now: () => Date },
): Promise<Pruned> {
  const { declaration, lists } = file;
  const connections = lists.has('connections') ? await pruneConnections(tx, file.connectionIds, deps) : nothing;
  const workspaces = lists.has('workspaces') ? await pruneWorkspaces(tx, declaration, deps) : nothing;
  const clients = lists.has('clients') ? await pruneClients(tx, declaration, deps) : [];
  const endpoints = lists.has('endpoints') ? await pruneEndpoints(tx, declaration, deps) : [];
  return {
    changes: [...connections.changes, ...workspaces.changes, ...clients, ...endpoints],
    connectionIds: [...connections.connectionIds, ...workspaces.connectionIds],
    departures: workspaces.departures,
  };
}

const nothing: Pruned = { changes: [], connectionIds: [], departures: [] };

/** As the API's DELETE does: identities and events refer to a connection, and so its settings are kept. */
async function pruneConnections(
  tx: Transaction,
  named: readonly string[],
  { sealedBox, now }: { readonly sealedBox: SealedBox; readonly now: () => Date },
): Promise<Pruned> {
  const store = createConnectionStore({ db: tx, sealedBox, now, fetchMetadata: noNetwork, readMetadata: () => null });
  const others = await tx('connections')
    .where({ enabled: true })
    .whereNotIn('connection_id', [...named])
    .orderBy('connection_id')
    .pluck<string[]>('connection_id');
  const changes: Change[] = [];
  for (const connectionId of others) {
    const before = await store.get(connectionId);
    const after = await store.setEnabled(connectionId, false);
    if (!before || !after) continue;
    const audited = { before: connectionDocument(before), after: connectionDocument(after) };
    changes.push({
      subject: connectionSubject(before),
      action: 'removed',
      detail: 'switched off: nobody signs in through it; who has access keeps it',
      audit: { resource: 'connections', resourceId: connectionId, workspaceId: before.workspaceId, ...audited },
    });
  }
  return { changes, connectionIds: others, departures: [] };
}

async function pruneWorkspaces(
  tx: Transaction,
  declaration: Declaration,
  { now }: { readonly now: () => Date },
): Promise<Pruned> {
  const lifecycle = createWorkspaceLifecycle({ db: tx, syncLists: syncListDeparture({ now }), now });
  const workspaces = createWorkspaceStore({ db: tx, now });
  const named = namedWorkspaces(declaration);
  const rows: { id: string; slug: string }[] = await tx('workspaces')
    .where({ status: 'active' })
    .orderBy('workspace_id')
    .select('workspace_id as id', 'slug');
  const changes: Change[] = [];
  const connectionIds: string[] = [];
  const departures: Departure[] = [];
  for (const { id, slug } of rows.filter((row) => !named.has(row.slug) && !named.has(row.id))) {
    const before = (await workspaces.get(id)) as Workspace;
    // Connections that served it before: their other workspaces stay as they are.
    connectionIds.push(...(await tx('connections').where({ workspace_id: id }).pluck<string[]>('connection_id')));
    const warning = await lifecycle.remove(id, {}).catch((error: unknown) => {
      throw staying(error, slug);
    });
    const token = warning.kind === 'unconfirmed' ? warning.token : undefined;
    const removal = await lifecycle.remove(id, { confirm: token });
    if (removal.kind !== 'removed') throw new BrokerError('conflict', `${slug} changed meanwhile`, { reason: 'state_moved' });
    connectionIds.push(...removal.connectionIds);
    departures.push({ workspaceId: id, connectionId: null });
    const after = (await workspaces.get(id)) as Workspace;
    changes.push({
      subject: `workspace ${slug}`,
      action: 'removed',
      detail: `archived: ${membersText(removal.members)}`,
      audit: {
        resource: 'workspaces',
        resourceId: id,
        workspaceId: id,
        before: workspaceView(before),
        after: workspaceView(after),
      },
    });
  }
  return { changes, connectionIds, departures };
}

/** Ids and slugs that the file mentions anywhere: also where it does not say what the workspace is like. */
function namedWorkspaces({ workspaces, connections, endpoints }: Declaration): ReadonlySet<string> {
  return new Set([
    ...workspaces.map(({ slug }) => slug),
    ...connections.flatMap(({ workspace, sync_list: list }) => [workspace ?? '', ...list.map((entry) => entry.workspace)]),
    ...endpoints.flatMap((endpoint) => endpoint.workspaces ?? []),
  ]);
}

function staying(error: unknown, slug: string): unknown {
  if (!(error instanceof BrokerError)) return error;
  const message = `${slug} is not in the file and cannot be removed: ${error.message}`;
  return new BrokerError(error.code, message, {
    cause: error,
    ...(error.reason !== undefined && { reason: error.reason }),
    fields: [{ path: 'workspaces', message }],
  });
}

async function pruneClients(
  tx: Transaction,
  { clients: named }: Declaration,
  { sealedBox, now }: { readonly sealedBox: SealedBox; readonly now: () => Date },
): Promise<readonly Change[]> {
  const clients = createClientStore({ db: tx, sealedBox, now });
  const ids = new Set(named.map(({ clientId }) => clientId));
  const others = (await clients.list()).filter(({ clientId }) => !ids.has(clientId));
  for (const { clientId } of others) await clients.remove(clientId);
  return others.map((client) => ({
    subject: `client ${client.clientId}`,
    action: 'removed',
    audit: { resource: 'clients', resourceId: client.clientId, workspaceId: null, before: clientView(client), after: null },
  }));
}

async function pruneEndpoints(
  tx: Transaction,
  { endpoints: named }: Declaration,
  { sealedBox, now }: { readonly sealedBox: SealedBox; readonly now: () => Date },
): Promise<readonly Change[]> {
  const endpoints = createEndpointStore({ db: tx, sealedBox, now });
  const urls = new Set(named.map(({ url }) => url));
  const others = (await endpoints.list()).filter(({ url }) => !urls.has(url));
  for (const { endpointId } of others) await endpoints.remove(endpointId);
  return others.map((endpoint) => ({
    subject: `endpoint ${endpoint.url}`,
    action: 'removed',
    detail: 'what waits for it is not sent any more',
    audit: {
      resource: 'endpoints',
      resourceId: endpoint.endpointId,
      workspaceId: null,
      before: endpointView(endpoint),
      after: null,
    },
  }));
}

async function noNetwork(): Promise<never> {
  throw new BrokerError('internal', 'connections that are switched off keep their metadata');
}
