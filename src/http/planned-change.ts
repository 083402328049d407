import { z } from 'zod';
import { BrokerError } from '../domain/broker-error.ts';
import type { RoleLadder } from '../domain/group-sync.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { connectionDocument } from '../login/connection-document.ts';
import { connectionInputSchema, mappingInput } from '../login/connection-input.ts';
import type { StoredConnection } from '../login/connection-rows.ts';
import { createConnectionStore } from '../login/connection-store.ts';
import { createSyncListStore } from '../login/sync-list.ts';
import { createCatalogueStore } from '../membership/catalogue-store.ts';
import type { Touched } from '../membership/plan-types.ts';
import { createWorkspaceStore } from '../membership/workspace-store.ts';
import { mergePatch } from './merge-patch.ts';
import { invalidInput, parseInput } from './request-input.ts';
import { appGroupOf, appGroupSchema } from './routes/app-groups.ts';

const id = z.string().refine(isUniqueId, 'give an id in lower-case UUID form');
/** Id or slug. */
const workspaceReference = z.string().min(1).max(63);

const connectionChange = z.strictObject({
  kind: z.literal('connection'),
  connection_id: id,
  /** What a PATCH of the connection would carry as its `group_sync`: RFC 7396. */
  group_sync: z.record(z.string(), z.unknown()),
});

const syncListEntryChange = z
  .strictObject({
    kind: z.literal('sync_list_entry'),
    connection_id: id,
    workspace: workspaceReference,
    /** Null inherits again, absent stays. */
    claim_name: z.string().min(1).max(1_000).nullable().optional(),
    mapping: mappingInput.nullable().optional(),
  })
  .refine((change) => change.claim_name !== undefined || change.mapping !== undefined, 'give claim_name or mapping');

const catalogueChange = z
  .strictObject({
    kind: z.literal('catalogue'),
    workspace: workspaceReference,
    upsert: z.array(appGroupSchema).max(10_000, 'give at most 10000 groups at once').default([]),
    /** Ids of app groups. */
    delete: z.array(id).max(10_000, 'give at most 10000 groups at once').default([]),
  })
  .refine((change) => change.upsert.length + change.delete.length > 0, 'name a group to upsert or delete');

export const plannedChangeSchema = z.discriminatedUnion('kind', [connectionChange, syncListEntryChange, catalogueChange], {
  error: 'give "kind": "connection", "sync_list_entry" or "catalogue"',
});

type PlannedChange = z.output<typeof plannedChangeSchema>;

interface ChangeDeps {
  readonly sealedBox: { seal(plain: string, context: string): string; open(sealed: string, context: string): string };
  readonly roles: RoleLadder;
  readonly now: () => Date;
}

/** The one workspace that a change concerns; null: it needs a key of instance scope. Throws `not_found`. */
export async function scopeOfChange(db: Database, given: unknown, deps: ChangeDeps): Promise<string | null> {
  const change = parseInput(plannedChangeSchema, given, 'change');
  switch (change.kind) {
    case 'connection':
      return (await connectionOf(db, change.connection_id, deps)).workspaceId;
    case 'sync_list_entry':
      await connectionOf(db, change.connection_id, deps);
      return null;
    case 'catalogue':
      return workspaceOf(db, change.workspace, deps);
    default:
      return change satisfies never;
  }
}

/**
 * Makes a planned change exactly as the API would, the deletion of app groups aside.
 * @throws BrokerError with paths below `change`
 */
export async function writePlannedChange(tx: Transaction, given: unknown, deps: ChangeDeps): Promise<Touched> {
  const change = parseInput(plannedChangeSchema, given, 'change');
  try {
    return await write(tx, change, deps);
  } catch (error) {
    throw belowChange(error);
  }
}

async function write(tx: Transaction, change: PlannedChange, deps: ChangeDeps): Promise<Touched> {
  switch (change.kind) {
    case 'connection': {
      const stored = await connectionOf(tx, change.connection_id, deps);
      const document = connectionDocument(stored);
      const input = parseInput(connectionInputSchema, {
        ...document,
        group_sync: mergePatch(document.group_sync, change.group_sync),
      });
      const metadataXml = stored.protocol.type === 'saml' ? stored.protocol.metadataXml : null;
      await storeOn(tx, deps).replace(stored.connectionId, { input, metadataXml, basedOn: stored.version });
      return { connectionIds: [stored.connectionId], workspaceIds: [], deletedGroupIds: [] };
    }
    case 'sync_list_entry': {
      const { connection_id: connectionId, claim_name: claimName, mapping } = change;
      const workspaceId = await workspaceOf(tx, change.workspace, deps);
      await createSyncListStore({ db: tx, now: deps.now }).update(connectionId, workspaceId, { claimName, mapping });
      return { connectionIds: [connectionId], workspaceIds: [], deletedGroupIds: [] };
    }
    case 'catalogue': {
      const workspaceId = await workspaceOf(tx, change.workspace, deps);
      const catalogue = createCatalogueStore({ db: tx, roles: deps.roles, now: deps.now });
      if (change.upsert.length > 0) await catalogue.upsert(workspaceId, change.upsert.map(appGroupOf)).catch(asUpsert);
      await checkDeletions(tx, workspaceId, change.delete);
      return { connectionIds: [], workspaceIds: [workspaceId], deletedGroupIds: change.delete };
    }
    default:
      return change satisfies never;
  }
}

async function connectionOf(db: Database, connectionId: string, deps: ChangeDeps): Promise<StoredConnection> {
  const connection = await storeOn(db, deps).get(connectionId);
  if (!connection) throw new BrokerError('not_found', 'there is no such connection');
  return connection;
}

async function workspaceOf(db: Database, reference: string, { now }: ChangeDeps): Promise<string> {
  const workspace = await createWorkspaceStore({ db, now }).find(reference);
  if (workspace?.status !== 'active') throw new BrokerError('not_found', 'there is no such workspace');
  return workspace.workspaceId;
}

async function checkDeletions(tx: Transaction, workspaceId: string, groupIds: readonly string[]): Promise<void> {
  const known = new Set(
    await tx('app_groups')
      .where({ workspace_id: workspaceId })
      .whereIn('group_id', [...groupIds])
      .pluck<string[]>('group_id'),
  );
  const fields = groupIds.flatMap((groupId, index) =>
    known.has(groupId) ? [] : [{ path: `delete.${index}`, message: 'the workspace has no such app group' }],
  );
  if (fields.length > 0) throw invalidInput(fields);
}

function storeOn(db: Database, { sealedBox, now }: ChangeDeps) {
  return createConnectionStore({ db, sealedBox, now, fetchMetadata: noNetwork, readMetadata: () => null });
}

/** The catalogue calls `groups` what a change calls `upsert`. */
function asUpsert(error: unknown): never {
  throw renamed(error, (path) => path.replace(/^groups/, 'upsert'));
}

function belowChange(error: unknown): unknown {
  return renamed(error, (path) => (path === '' ? 'change' : `change.${path}`));
}

function renamed(error: unknown, rename: (path: string) => string): unknown {
  if (!(error instanceof BrokerError) || error.fields.length === 0) return error;
  return new BrokerError(error.code, error.message, {
    cause: error,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    fields: error.fields.map(({ path, message }) => ({ path: rename(path), message })),
  });
}

async function noNetwork(): Promise<never> {
  throw new BrokerError('internal', 'a planned change leaves the metadata as it is');
}
