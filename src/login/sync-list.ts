import { isDeepStrictEqual } from 'node:util';
import { BrokerError } from '../domain/broker-error.ts';
import type { GroupMapping, GroupSyncSettings, SyncOverrides } from '../domain/group-sync.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { assessRemoval, type RemovalImpact, removeMembers, stateDigest } from '../membership/removal.ts';
import * as rows from './sync-list-rows.ts';
import { checkNotLast, chooseSuccessor } from './sync-list-rules.ts';

/** One field of a listed workspace: what is in force there, and what the instance says. */
export interface SyncListField<Value> {
  readonly value: Value;
  readonly source: 'inherited' | 'overridden';
  readonly instanceValue: Value;
  /** Overridden, and no longer what the instance says. */
  readonly drift: boolean;
}

export interface SyncListWorkspace {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly isDefault: boolean;
  readonly enabled: boolean;
  readonly claimName: SyncListField<string>;
  readonly mapping: SyncListField<GroupMapping>;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Undefined: stays as it is. Null: inherited again. */
export interface SyncListPatch {
  readonly enabled?: boolean | undefined;
  /** Takes the default over from another workspace. */
  readonly isDefault?: true | undefined;
  readonly claimName?: string | null | undefined;
  readonly mapping?: GroupMapping | null | undefined;
}

export type Removal =
  | { readonly kind: 'unconfirmed'; readonly impact: RemovalImpact; readonly token: string; readonly stale: boolean }
  | { readonly kind: 'removed'; readonly members: number };

/** Gets the entry as it is, locked; throws what forbids the change. */
export type SyncListCheck = (entry: SyncListWorkspace) => void;

export type SyncListStore = ReturnType<typeof createSyncListStore>;

/**
 * The workspaces that an instance-level connection syncs (R5-R11). Each change raises the connection's version, so that logins see it.
 * Throws `not_found` for a connection that is none of the instance, or a workspace that is not listed.
 */
export function createSyncListStore({ db, now }: { readonly db: Database; readonly now: () => Date }) {
  async function get(connectionId: string, workspaceId: string, on: Database | Transaction = db): Promise<SyncListWorkspace> {
    const connection = await rows.readConnection(on, connectionId);
    const [entry] = await rows.readEntries(on, connectionId, { workspaceId, limit: 1 });
    if (!entry) throw notListed();
    return workspaceOf(entry, connection.settings);
  }

  /** Carries out a change under the connection's lock. */
  async function change<Result>(
    connectionId: string,
    act: (tx: Transaction, version: number) => Promise<Result>,
  ): Promise<Result> {
    return db.transaction(async (tx) => act(tx, await rows.lockConnection(tx, connectionId)));
  }

  async function update(
    connectionId: string,
    workspaceId: string,
    patch: SyncListPatch,
    check?: SyncListCheck,
  ): Promise<SyncListWorkspace> {
    return change(connectionId, async (tx) => {
      const list = await rows.readListed(tx, connectionId);
      const entry = list.find((each) => each.workspaceId === workspaceId);
      if (!entry) throw notListed();
      check?.(await get(connectionId, workspaceId, tx));
      if (patch.enabled === false) checkNotLast(list, workspaceId, 'enabled');
      if (patch.isDefault && !(patch.enabled ?? entry.enabled)) {
        const message = 'the default workspace is one that is enabled';
        throw new BrokerError('conflict', message, { reason: 'default_disabled', fields: [{ path: 'is_default', message }] });
      }
      if (patch.isDefault) await rows.moveDefault(tx, connectionId, workspaceId, now());
      await rows.updateEntry(tx, connectionId, workspaceId, patch, now());
      await rows.raiseVersion(tx, connectionId, now());
      return get(connectionId, workspaceId, tx);
    });
  }

  return {
    /** Pages in the order of the workspaces' ids. */
    async list(
      connectionId: string,
      page: { readonly after?: string | undefined; readonly limit: number },
    ): Promise<readonly SyncListWorkspace[]> {
      const connection = await rows.readConnection(db, connectionId);
      const entries = await rows.readEntries(db, connectionId, page);
      return entries.map((entry) => workspaceOf(entry, connection.settings));
    },

    get: (connectionId: string, workspaceId: string): Promise<SyncListWorkspace> => get(connectionId, workspaceId),

    /**
     * R8: the workspace inherits unless the input overrides. The first one of a list becomes its default (R5).
     * @param workspace id or slug
     */
    async add(
      connectionId: string,
      workspace: string,
      input: SyncOverrides & { readonly enabled: boolean },
    ): Promise<SyncListWorkspace> {
      return change(connectionId, async (tx) => {
        const workspaceId = await rows.activeWorkspace(tx, workspace);
        if (workspaceId === null) throw invalidWorkspace();
        const list = await rows.readListed(tx, connectionId);
        if (list.some((entry) => entry.workspaceId === workspaceId)) {
          const message = 'the workspace is on the sync list already';
          throw new BrokerError('conflict', message, { reason: 'already_listed', fields: [{ path: 'workspace', message }] });
        }
        if (list.length === 0 && !input.enabled) checkNotLast([], workspaceId, 'enabled');
        await rows.insertEntry(tx, connectionId, workspaceId, { ...input, isDefault: list.length === 0 }, now());
        await rows.raiseVersion(tx, connectionId, now());
        return get(connectionId, workspaceId, tx);
      });
    },

    update,

    /** R9: back to the instance's value, field by field. */
    reset(
      connectionId: string,
      workspaceId: string,
      fields: readonly ('claim_name' | 'mapping')[],
      check?: SyncListCheck,
    ): Promise<SyncListWorkspace> {
      const inherited = {
        ...(fields.includes('claim_name') && { claimName: null }),
        ...(fields.includes('mapping') && { mapping: null }),
      };
      return update(connectionId, workspaceId, inherited, check);
    },

    /**
     * R10: says first who would lose what. With the token of exactly that state it removes the workspace, and the memberships that
     * came by this connection, with their events, in one transaction.
     */
    async remove(
      connectionId: string,
      workspaceId: string,
      { confirm, successor }: { readonly confirm?: string | undefined; readonly successor?: string | undefined },
      check?: SyncListCheck,
    ): Promise<Removal> {
      return change(connectionId, async (tx, version) => {
        const list = await rows.readListed(tx, connectionId);
        const leaving = list.find((each) => each.workspaceId === workspaceId);
        if (!leaving) throw notListed();
        check?.(await get(connectionId, workspaceId, tx));
        checkNotLast(list, workspaceId, 'workspace');
        const nextDefault = chooseSuccessor(list, workspaceId, successor);
        const impact = await assessRemoval(tx, { workspaceId, connectionId });
        const token = stateDigest(['remove', connectionId, version, workspaceId, nextDefault, impact.digest]);
        if (confirm !== token) return { kind: 'unconfirmed', token, impact, stale: confirm !== undefined };
        const which = { workspaceId, workspaceSlug: leaving.workspaceSlug, connectionId };
        const cause = { kind: 'api', connection_id: connectionId, login_id: null } as const;
        const members = await removeMembers(tx, which, { cause, now: now() });
        await leaveList(tx, connectionId, workspaceId, nextDefault, now());
        return { kind: 'removed', members };
      });
    },
  };
}

/** A workspace that is about to be deleted, as the sync lists see it. */
export interface LeavingWorkspace {
  readonly connectionId: string;
  readonly version: number;
  readonly nextDefault: string | null;
}

/** How a workspace that is deleted leaves the lists that it is on. */
export function syncListDeparture({ now }: { readonly now: () => Date }) {
  return {
    lock: lockListsOf,
    leave: (tx: Transaction, { connectionId, nextDefault }: LeavingWorkspace, workspaceId: string): Promise<void> =>
      leaveList(tx, connectionId, workspaceId, nextDefault, now()),
  };
}

/**
 * The sync lists that a workspace is on, their connections locked, checked for its leaving all of them (R7, R11).
 * @param successor id or slug of the workspace that takes its place where it is the default
 * @throws BrokerError `conflict`
 */
async function lockListsOf(
  tx: Transaction,
  workspaceId: string,
  successor: string | undefined,
): Promise<readonly LeavingWorkspace[]> {
  const leaving: LeavingWorkspace[] = [];
  for (const connectionId of await rows.connectionsListing(tx, workspaceId)) {
    const version = await rows.lockConnection(tx, connectionId);
    const list = await rows.readListed(tx, connectionId);
    checkNotLast(list, workspaceId, 'workspace');
    leaving.push({ connectionId, version, nextDefault: chooseSuccessor(list, workspaceId, successor) });
  }
  return leaving;
}

/** Takes a workspace off a list whose connection the caller has locked. */
async function leaveList(
  tx: Transaction,
  connectionId: string,
  workspaceId: string,
  nextDefault: string | null,
  now: Date,
): Promise<void> {
  if (nextDefault !== null) await rows.moveDefault(tx, connectionId, nextDefault, now);
  await rows.deleteEntry(tx, connectionId, workspaceId);
  await rows.raiseVersion(tx, connectionId, now);
}

function workspaceOf(entry: rows.EntryRow, instance: GroupSyncSettings): SyncListWorkspace {
  return {
    workspaceId: entry.workspace_id,
    workspaceSlug: entry.slug,
    isDefault: entry.is_default,
    enabled: entry.enabled,
    claimName: fieldOf(entry.claim_name_override, instance.groupClaim.name),
    mapping: fieldOf(entry.mapping_override, instance.mapping),
    createdAt: entry.created_at,
    updatedAt: entry.updated_at,
  };
}

function fieldOf<Value>(override: Value | null, instanceValue: Value): SyncListField<Value> {
  if (override === null) return { value: instanceValue, source: 'inherited', instanceValue, drift: false };
  return { value: override, source: 'overridden', instanceValue, drift: !isDeepStrictEqual(override, instanceValue) };
}

function notListed(): BrokerError {
  return new BrokerError('not_found', 'the workspace is not on the sync list');
}

function invalidWorkspace(): BrokerError {
  const message = 'there is no such workspace';
  return new BrokerError('validation_failed', `workspace: ${message}`, { fields: [{ path: 'workspace', message }] });
}
