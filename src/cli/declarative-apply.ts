import { isDeepStrictEqual } from 'node:util';
import { createEndpointStore } from '../delivery/endpoint-store.ts';
import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import { appGroupOf } from '../http/routes/app-groups.ts';
import { snakeCase } from '../http/snake-case.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import type { ConnectionInput } from '../login/connection-input.ts';
import { type ConnectionStore, createConnectionStore, type PreparedConnection } from '../login/connection-store.ts';
import { createCatalogueStore } from '../membership/catalogue-store.ts';
import { createWorkspaceStore } from '../membership/workspace-store.ts';
import type { ClientMetadata } from '../provider/client-metadata.ts';
import { createClientStore } from '../provider/client-store.ts';
import type { Declaration, DeclaredEndpoint, DeclaredWorkspace } from './declarative-schema.ts';

/** What was done about one thing that the file names. */
export interface Change {
  readonly subject: string;
  readonly action: 'created' | 'changed' | 'none';
  /** Which fields changed, or how many groups. */
  readonly detail?: string;
  /** Something that is shown this once. */
  readonly secret?: string;
}

export interface ApplyDeps {
  readonly db: Database;
  readonly roles: RoleLadder;
  readonly sealedBox: { seal(plain: string, context: string): string; open(sealed: string, context: string): string };
  /** Fetches and reads metadata. */
  readonly connections: Pick<ConnectionStore, 'prepare' | 'findByName'>;
  readonly now: () => Date;
  /** Writes the audit log, within the transaction. */
  readonly recordChange?: (change: Change, tx: Transaction) => Promise<void>;
}

/**
 * Brings the database in line with a declaration, all or nothing.
 * @param options `dryRun`: says what would be done, and does nothing
 * @throws BrokerError with paths of the declaration
 */
export async function applyDeclaration(
  declaration: Declaration,
  deps: ApplyDeps,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<readonly Change[]> {
  // The network first: no transaction waits for it.
  const prepared = await prepareConnections(declaration, deps);
  const changes: Change[] = [];
  await deps.db
    .transaction(async (tx) => {
      changes.push(...(await writeDeclaration(tx, declaration, prepared, deps)));
      for (const change of changes) if (change.action !== 'none') await deps.recordChange?.(change, tx);
      if (dryRun) throw rollBack;
    })
    .catch((error: unknown) => {
      if (error !== rollBack) throw error;
    });
  return changes;
}

/** Everything that the declaration names, within the caller's transaction. */
export async function writeDeclaration(
  tx: Transaction,
  declaration: Declaration,
  prepared: readonly PreparedConnection[],
  deps: ApplyDeps,
): Promise<readonly Change[]> {
  const apply = applierOn(tx, deps);
  const changes: Change[] = [];
  for (const [index, workspace] of declaration.workspaces.entries()) {
    changes.push(...(await at(`workspaces.${index}`, () => apply.workspace(workspace))));
  }
  for (const [index, connection] of prepared.entries()) {
    changes.push(await at(`connections.${index}`, () => apply.connection(connection)));
  }
  for (const client of declaration.clients) changes.push(await apply.client(client));
  for (const [index, endpoint] of declaration.endpoints.entries()) {
    changes.push(await at(`endpoints.${index}`, () => apply.endpoint(endpoint)));
  }
  return changes;
}

const rollBack = new Error('a dry run ends without a commit');

/** Every connection's metadata, with all errors at once. */
export async function prepareConnections(declaration: Declaration, deps: ApplyDeps): Promise<PreparedConnection[]> {
  const workspaces = createWorkspaceStore(deps);
  const prepared: PreparedConnection[] = [];
  const refused: BrokerError[] = [];
  for (const [index, input] of declaration.connections.entries()) {
    try {
      const workspace = input.workspace === null ? null : await workspaces.find(input.workspace);
      const isNew = input.workspace !== null && workspace === null;
      const stored = isNew ? null : await deps.connections.findByName(workspace?.workspaceId ?? null, input.display_name);
      const connection = await at(`connections.${index}`, () => deps.connections.prepare(input, stored));
      // The file says how things are to be, from whatever they are: another default may move its version meanwhile.
      prepared.push({ ...connection, basedOn: null });
    } catch (error) {
      if (!(error instanceof BrokerError) || error.fields.length === 0) throw error;
      refused.push(error);
    }
  }
  if (refused.length === 0) return prepared;
  const fields = refused.flatMap((error) => error.fields);
  throw new BrokerError('validation_failed', 'connections have errors', { fields, cause: refused[0] });
}

function applierOn(tx: Database, { sealedBox, roles, now }: ApplyDeps) {
  const workspaces = createWorkspaceStore({ db: tx, now });
  const catalogue = createCatalogueStore({ db: tx, roles, now });
  const connections = createConnectionStore({ db: tx, sealedBox, now, fetchMetadata: noNetwork, readMetadata: () => null });
  const clients = createClientStore({ db: tx, sealedBox, now });
  const endpoints = createEndpointStore({ db: tx, sealedBox, now });

  return {
    async workspace({ slug, display_name: displayName = slug, app_groups: groups }: DeclaredWorkspace): Promise<Change[]> {
      const stored = await workspaces.findBySlug(slug);
      const workspace = stored ?? (await workspaces.create({ slug, displayName }));
      const renamed = workspace.displayName !== displayName;
      if (renamed) await workspaces.rename(workspace.workspaceId, displayName);
      const subject = `workspace ${slug}`;
      const change: Change = stored ? changeOf(subject, renamed ? ['display_name'] : []) : { subject, action: 'created' };
      if (groups.length === 0) return [change];
      const { created, updated } = await catalogue.upsert(workspace.workspaceId, groups.map(appGroupOf)).catch(asAppGroups);
      const detail = [created > 0 ? `${created} created` : '', updated > 0 ? `${updated} changed` : ''].filter(Boolean);
      return [change, changeOf(`app groups of ${slug}`, detail)];
    },

    async connection(prepared: PreparedConnection): Promise<Change> {
      const { input } = prepared;
      const subject = `connection "${input.display_name}" ${input.workspace === null ? 'of the instance' : `of ${input.workspace}`}`;
      const stored = await findConnection(input);
      if (stored) return changeOf(subject, await connections.replace(stored.connectionId, prepared));
      const { connectionId } = await connections.insert(prepared);
      return { subject, action: 'created', detail: connectionId };
    },

    async client(client: ClientMetadata): Promise<Change> {
      const subject = `client ${client.clientId}`;
      const stored = await clients.find(client.clientId);
      const fields = stored ? differing(stored, client) : [];
      if (stored && fields.length === 0) return { subject, action: 'none' };
      await clients.upsert(client);
      return stored ? changeOf(subject, fields) : { subject, action: 'created' };
    },

    async endpoint({ workspaces: slugs, ...given }: DeclaredEndpoint): Promise<Change> {
      const subject = `endpoint ${given.url}`;
      const input = { ...given, workspaceIds: slugs === null ? null : await workspaceIds(slugs) };
      const before = await endpointRow(given.url);
      const { secret } = await endpoints.apply(input);
      const after = await endpointRow(given.url);
      if (before === undefined) return { subject, action: 'created', ...(secret === null ? {} : { secret }) };
      return changeOf(subject, differing(before, after as object));
    },
  };

  async function findConnection({ workspace: reference, display_name: displayName }: ConnectionInput) {
    if (reference === null) return connections.findByName(null, displayName);
    const workspace = await workspaces.find(reference);
    return workspace && connections.findByName(workspace.workspaceId, displayName);
  }

  async function workspaceIds(slugs: readonly string[]): Promise<string[]> {
    const found = await Promise.all(slugs.map((slug) => workspaces.findBySlug(slug)));
    const fields = slugs.flatMap((_, index) =>
      found[index] ? [] : [{ path: `workspaces.${index}`, message: 'there is no such workspace' }],
    );
    if (fields.length > 0) throw new BrokerError('validation_failed', 'an endpoint names unknown workspaces', { fields });
    return found.flatMap((workspace) => (workspace ? [workspace.workspaceId] : []));
  }

  /** Sealed secrets are compared as they are stored: the store leaves them alone while they open to the same value. */
  async function endpointRow(url: string): Promise<object | undefined> {
    return tx('endpoints')
      .where({ url })
      .whereNull('deleted_at')
      .first('description', 'event_types', 'workspace_ids', 'enabled', 'sealed_secrets as secret');
  }
}

function changeOf(subject: string, fields: readonly string[]): Change {
  return fields.length === 0 ? { subject, action: 'none' } : { subject, action: 'changed', detail: fields.join(', ') };
}

function differing(before: object, after: object): string[] {
  const [old, fresh] = [before, after] as Record<string, unknown>[];
  return Object.keys(after)
    .filter((field) => !isDeepStrictEqual(old?.[field], fresh?.[field]))
    .map(snakeCase);
}

/** Runs a step and puts where it stands in the declaration before the paths of its errors. */
async function at<Result>(path: string, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    throw renamed(error, (field) => (field === '' ? path : `${path}.${field}`));
  }
}

/** The catalogue calls `groups` what the file calls `app_groups`. */
function asAppGroups(error: unknown): never {
  throw renamed(error, (field) => field.replace(/^groups/, 'app_groups'));
}

function renamed(error: unknown, rename: (path: string) => string): unknown {
  if (!(error instanceof BrokerError)) return error;
  const fields = error.fields.length > 0 ? error.fields : [{ path: '', message: error.message }];
  return new BrokerError(error.code, error.message, {
    cause: error,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    fields: fields.map(({ path, message }) => ({ path: rename(path), message })),
  });
}

async function noNetwork(): Promise<never> {
  throw new BrokerError('internal', 'metadata is fetched before the transaction begins');
}
