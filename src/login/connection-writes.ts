import { isDeepStrictEqual } from 'node:util';
import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import type { OidcSettings, SamlSettings } from '../domain/connection.ts';
import type { GroupMapping } from '../domain/group-sync.ts';
import type { Transaction } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { type ConnectionInput, groupSyncOf, oidcSettingsOf, samlSettingsOf } from './connection-input.ts';
import type { StoredConnection } from './connection-rows.ts';

/** The parts of writing a connection. */

export interface SyncListRow {
  readonly workspaceId: string;
  readonly isDefault: boolean;
  readonly enabled: boolean;
  readonly claimName: string | null;
  readonly mapping: GroupMapping | null;
}

export interface Places {
  /** The workspace of a workspace-level connection. */
  readonly own: string | null;
  readonly list: readonly SyncListRow[];
}

/** Ids for the workspaces that an input names by id or slug. */
export async function resolveWorkspaces(tx: Transaction, input: ConnectionInput): Promise<Places> {
  const named = [...(input.workspace === null ? [] : [input.workspace]), ...input.sync_list.map(({ workspace }) => workspace)];
  const ids = named.filter(isUniqueId);
  const rows: { workspace_id: string; slug: string }[] =
    named.length === 0
      ? []
      : await tx('workspaces')
          .where({ status: 'active' })
          .andWhereRaw('(workspace_id = ANY(?::uuid[]) OR slug = ANY(?::text[]))', [ids, named])
          .select('workspace_id', 'slug');
  const known = new Map(rows.flatMap(({ workspace_id: id, slug }) => [[id, id] as const, [slug, id] as const]));

  const errors: FieldError[] = [];
  const find = (workspace: string, path: string): string => {
    const id = known.get(workspace);
    if (id === undefined) errors.push({ path, message: 'there is no such workspace' });
    return id ?? '';
  };
  const own = input.workspace === null ? null : find(input.workspace, 'workspace');
  const list = input.sync_list.map((entry, index) => ({
    workspaceId: find(entry.workspace, `sync_list.${index}.workspace`),
    isDefault: entry.is_default,
    enabled: entry.enabled,
    claimName: entry.claim_name,
    mapping: entry.mapping,
  }));
  list.forEach(({ workspaceId }, index) => {
    const first = list.findIndex((other) => other.workspaceId === workspaceId);
    if (workspaceId !== '' && first < index) {
      errors.push({ path: `sync_list.${index}.workspace`, message: `this workspace is already at position ${first}` });
    }
  });
  if (errors.length > 0) throw invalidFields(errors);
  return { own, list };
}

/** R6, R11: one workspace stays on the list and enabled, the default one included or not. */
export function checkSyncList(input: ConnectionInput, stored: StoredConnection | null = null): void {
  const emptied = input.sync_list.length === 0 && (stored?.syncList.length ?? 0) > 0;
  const disabled = input.sync_list.length > 0 && input.sync_list.every(({ enabled }) => !enabled);
  if (!emptied && !disabled) return;
  throw new BrokerError('conflict', 'at least one workspace stays enabled for group sync', {
    reason: 'last_enabled_workspace',
    fields: [{ path: 'sync_list', message: 'keep at least one workspace enabled' }],
  });
}

/** Identities hang on a connection: what they mean must not change under them (R33). */
export function checkUnchangeable(stored: StoredConnection, input: ConnectionInput, workspaceId: string | null): void {
  const errors: FieldError[] = [];
  if (stored.workspaceId !== workspaceId) {
    errors.push({ path: 'workspace', message: 'a connection stays where it was made; make another one instead' });
  }
  if (stored.protocol.type !== input.protocol.type) {
    errors.push({ path: 'protocol.type', message: `this is a ${stored.protocol.type} connection; make another one instead` });
  }
  if (errors.length > 0) throw invalidFields(errors);
}

/** Undefined: the input says nothing about the secret. */
export function clientSecretOf({ protocol }: ConnectionInput): string | null | undefined {
  return protocol.type === 'oidc' ? protocol.client_secret : null;
}

/**
 * The sealed secret of an input that does not give one. It was entrusted to one IdP: whoever points the connection at another
 * address must know it, or could have it sent to themselves.
 */
export function keptSecret({ protocol: stored }: StoredConnection, { protocol }: ConnectionInput, sealed: string): string {
  const same =
    stored.type === 'oidc' &&
    protocol.type === 'oidc' &&
    stored.discoveryUrl === protocol.discovery_url &&
    stored.clientId === protocol.client_id;
  if (same) return sealed;
  const message = 'give the secret again (or null): the stored one belongs to another discovery_url or client_id';
  throw invalidFields([{ path: 'protocol.client_secret', message }]);
}

export function protocolOf(
  { protocol }: ConnectionInput,
  metadataXml: string | null,
  sealedSecret: string | null,
): SamlSettings | OidcSettings {
  return protocol.type === 'saml' ? samlSettingsOf(protocol, metadataXml ?? '') : oidcSettingsOf(protocol, sealedSecret);
}

export type ConnectionColumns = ReturnType<typeof columnsOf>;

export function columnsOf(input: ConnectionInput, protocol: SamlSettings | OidcSettings) {
  return {
    display_name: input.display_name,
    enabled: input.enabled,
    is_default: input.is_default,
    just_in_time_provisioning: input.just_in_time_provisioning,
    linking: input.linking,
    protocol: JSON.stringify(protocol),
    group_sync: JSON.stringify(groupSyncOf(input)),
  };
}

/** Names of the API's fields in which the stored connection differs from what is to be written. */
export function changedFields(
  stored: StoredConnection,
  columns: ConnectionColumns,
  list: readonly SyncListRow[],
): readonly string[] {
  const storedList = stored.syncList.map(({ workspaceSlug: _, ...row }) => row);
  const pairs: [string, unknown, unknown][] = [
    ['display_name', stored.displayName, columns.display_name],
    ['enabled', stored.enabled, columns.enabled],
    ['is_default', stored.isDefault, columns.is_default],
    ['just_in_time_provisioning', stored.justInTimeProvisioning, columns.just_in_time_provisioning],
    ['linking', stored.linking, columns.linking],
    ['protocol', stored.protocol, JSON.parse(columns.protocol)],
    ['group_sync', stored.groupSync, JSON.parse(columns.group_sync)],
    ['sync_list', byWorkspace(storedList), byWorkspace(list)],
  ];
  return pairs.filter(([, before, after]) => !isDeepStrictEqual(before, after)).map(([field]) => field);
}

function byWorkspace(list: readonly SyncListRow[]): Record<string, SyncListRow> {
  return Object.fromEntries(list.map((row) => [row.workspaceId, row]));
}

/** There is one default connection: another one gives way. */
export async function clearDefault(tx: Transaction, exceptConnectionId: string, now: Date): Promise<void> {
  await tx('connections')
    .where({ is_default: true })
    .whereNot({ connection_id: exceptConnectionId })
    .update({ is_default: false, version: tx.raw('version + 1'), updated_at: now });
}

export async function writeSyncList(
  tx: Transaction,
  connectionId: string,
  list: readonly SyncListRow[],
  now: Date,
): Promise<void> {
  const rows = list.map((row) => ({
    workspace_id: row.workspaceId,
    connection_id: connectionId,
    is_default: row.isDefault,
    enabled: row.enabled,
    claim_name_override: row.claimName,
    mapping_override: row.mapping === null ? null : JSON.stringify(row.mapping),
    created_at: now,
    updated_at: now,
  }));
  if (rows.length > 0) await tx.batchInsert('connection_workspaces', rows, 500);
}

export function invalidFields(fields: readonly FieldError[]): BrokerError {
  return new BrokerError('validation_failed', fields.map(({ path, message }) => `${path}: ${message}`).join('; '), { fields });
}

/** A BrokerError of something that an input named, as the error of that field; anything else unchanged. */
export function atField(error: unknown, path: string): unknown {
  if (!(error instanceof BrokerError)) return error;
  const reason = error.reason === undefined ? '' : ` (${error.reason})`;
  return new BrokerError('validation_failed', `${path}: ${error.message}`, {
    cause: error,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    fields: [{ path, message: `${error.message}${reason}` }],
  });
}

/** SQLSTATE 23505, told apart by the index (PostgreSQL, appendix A). */
export function nameTaken(error: unknown): never {
  const { code, constraint } = error as { code?: string; constraint?: string };
  if (code === '23505' && constraint === 'connections_display_name') {
    throw new BrokerError('conflict', 'another connection has this display name', {
      cause: error,
      reason: 'display_name_taken',
      fields: [{ path: 'display_name', message: 'another connection has this name' }],
    });
  }
  if (code === '23505' && constraint === 'connections_one_default') {
    throw new BrokerError('conflict', 'another connection became the default at the same moment', {
      cause: error,
      reason: 'default_taken',
      fields: [{ path: 'is_default', message: 'another connection became the default at the same moment' }],
    });
  }
  throw error;
}
