import { createEndpointStore } from '../delivery/endpoint-store.ts';
import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import { clientView } from '../http/routes/clients.ts';
import { endpointView } from '../http/routes/endpoints.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import type { SealedBox } from '../infra/sealed-box.ts';
import type { ConnectionStore, PreparedConnection } from '../login/connection-store.ts';
import type { Departure, Touched } from '../membership/plan-types.ts';
import { createWorkspaceStore } from '../membership/workspace-store.ts';
import type { ClientMetadata } from '../provider/client-metadata.ts';
import { createClientStore } from '../provider/client-store.ts';
import { at, type Change, changeOf, differing, isDone } from './declarative-change.ts';
import { connectionWriterOn, prepareConnections, type WrittenConnection } from './declarative-connections.ts';
import { prune } from './declarative-prune.ts';
import type { Declaration, DeclaredConnection, DeclaredEndpoint } from './declarative-schema.ts';
import { type WrittenWorkspace, workspaceWriterOn } from './declarative-workspaces.ts';

export interface ApplyDeps {
  readonly db: Database;
  readonly roles: RoleLadder;
  readonly sealedBox: SealedBox;
  /** Fetches and reads metadata. */
  readonly connections: Pick<ConnectionStore, 'prepare' | 'findByName'>;
  readonly now: () => Date;
  /** Writes the audit log, within the transaction. */
  readonly recordChange?: (change: Change, tx: Transaction) => Promise<void>;
}

/** A declaration whose connections are ready to be written without any network. */
export interface PreparedDeclaration {
  readonly declaration: Declaration;
  /** The lists that the file has. */
  readonly lists: ReadonlySet<string>;
  readonly connections: readonly PreparedConnection[];
  /** Removes what the lists do not name. */
  readonly prune: boolean;
}

export interface Written {
  readonly changes: readonly Change[];
  readonly touched: Touched;
}

/**
 * Brings the database in line with a declaration, all or nothing, without a plan and without a look at members: for a database that has
 * none, or whose members the next login brings in line.
 * @throws BrokerError with paths of the declaration
 */
export async function applyDeclaration(declaration: Declaration, deps: ApplyDeps): Promise<readonly Change[]> {
  const connections = await prepareConnections(declaration, deps);
  const prepared = { declaration, lists: new Set<string>(), connections, prune: false };
  return deps.db.transaction(async (tx) => (await writeDeclaration(tx, prepared, deps)).changes);
}

/**
 * Everything that the declaration says, within the caller's transaction, the deletion of app groups aside. First the connections, then
 * users, then workspaces: the order in which logins and the API lock them.
 */
export async function writeDeclaration(tx: Transaction, prepared: PreparedDeclaration, deps: ApplyDeps): Promise<Written> {
  const { declaration } = prepared;
  const workspaces = workspaceWriterOn(tx, deps);
  const made = [];
  for (const [index, declared] of declaration.workspaces.entries()) {
    made.push({ declared, made: await at(`workspaces.${index}`, () => workspaces.make(declared)) });
  }
  const connections: WrittenConnection[] = [];
  const connectionWriter = connectionWriterOn(tx, deps);
  for (const [index, connection] of prepared.connections.entries()) {
    const declared = declaration.connections[index] as DeclaredConnection;
    connections.push(await at(`connections.${index}`, () => connectionWriter.write(connection, declared, prepared)));
  }
  const connectionIds = connections.map(({ connectionId }) => connectionId);
  const pruned = prepared.prune ? await prune(tx, { ...prepared, connectionIds }, deps) : null;
  const written: WrittenWorkspace[] = [];
  const touchedWorkspaceIds: string[] = [];
  for (const [index, each] of made.entries()) {
    const done = await at(`workspaces.${index}`, () => workspaces.bringInLine(each.declared, each.made, prepared));
    written.push(done);
    if (done.catalogueChanged) touchedWorkspaceIds.push(each.made.workspace.workspaceId);
  }
  const rest = await writeClientsAndEndpoints(tx, declaration, deps);

  const changes = [
    ...written.flatMap((each) => each.changes),
    ...connections.flatMap((each) => each.changes),
    ...rest,
    ...(pruned?.changes ?? []),
  ];
  for (const change of changes.filter(isDone)) await deps.recordChange?.(change, tx);
  const departures: Departure[] = [...connections.flatMap((each) => each.departures), ...(pruned?.departures ?? [])];
  const touchedConnectionIds = connections.flatMap((each) => (each.touched ? [each.connectionId] : []));
  return {
    changes,
    touched: {
      connectionIds: [...new Set([...touchedConnectionIds, ...(pruned?.connectionIds ?? [])])],
      workspaceIds: touchedWorkspaceIds,
      deletedGroupIds: written.flatMap((each) => each.deletedGroupIds),
      departures,
    },
  };
}

async function writeClientsAndEndpoints(tx: Transaction, declaration: Declaration, deps: ApplyDeps): Promise<readonly Change[]> {
  const { sealedBox, now } = deps;
  const clients = createClientStore({ db: tx, sealedBox, now });
  const endpoints = createEndpointStore({ db: tx, sealedBox, now });
  const workspaces = createWorkspaceStore({ db: tx, now });
  const changes: Change[] = [];
  for (const client of declaration.clients) changes.push(await writeClient(client));
  for (const [index, endpoint] of declaration.endpoints.entries()) {
    changes.push(await at(`endpoints.${index}`, () => writeEndpoint(endpoint)));
  }
  return changes;

  async function writeClient(client: ClientMetadata): Promise<Change> {
    const { clientId } = client;
    const subject = `client ${clientId}`;
    const stored = await clients.read(clientId);
    const fields = stored ? differing(stored, client) : [];
    if (stored && fields.length === 0) return { subject, action: 'none' };
    await clients.upsert(client);
    const audit = { resource: 'clients', resourceId: clientId, workspaceId: null };
    const after = clientView(client);
    if (!stored) return { subject, action: 'created', audit: { ...audit, before: null, after } };
    return changeOf(subject, fields, { ...audit, before: clientView(stored), after });
  }

  async function writeEndpoint({ workspaces: slugs, ...given }: DeclaredEndpoint): Promise<Change> {
    const subject = `endpoint ${given.url}`;
    const before = await endpointRow(given.url);
    const shownBefore = await shownEndpoint(given.url);
    const { endpoint, secret } = await endpoints.apply({
      ...given,
      workspaceIds: slugs === null ? null : await workspaceIds(slugs),
    });
    const audit = { resource: 'endpoints', resourceId: endpoint.endpointId, workspaceId: null, after: endpointView(endpoint) };
    if (before === undefined) {
      return { subject, action: 'created', audit: { ...audit, before: null }, ...(secret === null ? {} : { secret }) };
    }
    const after = (await endpointRow(given.url)) as object;
    return changeOf(subject, differing(before, after), { ...audit, before: shownBefore && endpointView(shownBefore) });
  }

  async function shownEndpoint(url: string) {
    return (await endpoints.list()).find((endpoint) => endpoint.url === url) ?? null;
  }

  async function workspaceIds(slugs: readonly string[]): Promise<string[]> {
    const found = await Promise.all(slugs.map((slug) => workspaces.findBySlug(slug)));
    const fields = slugs.flatMap((_, index) =>
      found[index]?.status === 'active' ? [] : [{ path: `workspaces.${index}`, message: 'there is no such workspace' }],
    );
    if (fields.length > 0) throw new BrokerError('validation_failed', 'an endpoint names unknown workspaces', { fields });
    return found.flatMap((workspace) => (workspace ? [workspace.workspaceId] : []));
  }

  /** Sealed secrets are compared as they are stored: the store leaves them alone while they open to the same value. */
  async function endpointRow(url: string): Promise<object | undefined> {
    const row = await tx('endpoints').where({ url }).whereNull('deleted_at').first();
    if (!row) return undefined;
    const { updated_at: _, disabled_reason: _reason, sealed_secrets: secret, ...rest } = row;
    return { ...rest, secret };
  }
}
