import { BrokerError } from '../domain/broker-error.ts';
import type { AppGroup, RoleLadder } from '../domain/group-sync.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import {
  type AppGroupInput,
  type AppGroupRow,
  appGroupOf,
  type CatalogueStore,
  isNameTaken,
  type UpsertResult,
} from './catalogue-store.ts';
import { dropGroup } from './group-removal.ts';
import { type ReevaluateMembers, type ReevaluationResult, reevaluateBatch } from './reevaluate.ts';
import { createCompiler } from './reevaluation-compiler.ts';
import { stateDigest } from './removal.ts';

const membersPerBatch = 500;
const membersShown = 20;

export interface GroupPatch {
  readonly name?: string | undefined;
  readonly requiresRole?: string | null | undefined;
}

/** Who holds a group that is to be deleted. */
export interface GroupImpact {
  readonly members: number;
  readonly firstUserIds: readonly string[];
}

export type GroupRemoval =
  | { readonly kind: 'unconfirmed'; readonly impact: GroupImpact; readonly token: string; readonly stale: boolean }
  | { readonly kind: 'removed'; readonly members: number };

export type CatalogueChanges = ReturnType<typeof createCatalogueChanges>;

/** Changes of single app groups, and what they mean for those who hold them. All throw `not_found`. */
export function createCatalogueChanges(deps: {
  readonly db: Database;
  readonly catalogue: Pick<CatalogueStore, 'upsert'>;
  readonly roles: RoleLadder;
  readonly reevaluateMembers: ReevaluateMembers;
  readonly now: () => Date;
}) {
  const { db, catalogue, roles, reevaluateMembers, now } = deps;

  async function get(workspaceId: string, groupId: string): Promise<AppGroup> {
    const row = isUniqueId(groupId)
      ? await db('app_groups')
          .where({ workspace_id: workspaceId, group_id: groupId })
          .first<AppGroupRow | undefined>('group_id', 'name', 'requires_role')
      : undefined;
    if (!row) throw noGroup();
    return appGroupOf(row);
  }

  return {
    get,

    /**
     * Renames a group, which keeps its members, or changes the role that it requires. The latter changes what its members have a right
     * to: it is refused while there are any, unless they are re-evaluated at once.
     * @param check gets the group as it is, locked; throws what forbids the change
     * @param applyNow also when the requirement is as given already: members whom an interrupted run left out are found
     */
    async update(
      workspaceId: string,
      groupId: string,
      patch: GroupPatch,
      { applyNow, check }: { readonly applyNow: boolean; readonly check?: (stored: AppGroup) => void },
    ): Promise<{ readonly group: AppGroup; readonly reevaluated: ReevaluationResult | null }> {
      checkPatch(patch, roles);
      const holders = await db
        .transaction(async (tx) => {
          const stored = await lockGroup(tx, workspaceId, groupId);
          check?.(stored);
          const requirementMoves = patch.requiresRole !== undefined && patch.requiresRole !== stored.requiresRole;
          const members = patch.requiresRole === undefined ? [] : await holdersOf(tx, workspaceId, [groupId]);
          if (requirementMoves && members.length > 0 && !applyNow) throw needsReevaluation([stored.name]);
          await writeGroup(tx, workspaceId, stored, patch, now());
          return applyNow ? members : [];
        })
        .catch((error: unknown) => {
          throw isNameTaken(error) ? nameTaken(error) : error;
        });
      const reevaluated = holders.length > 0 ? await reevaluateMembers({ workspaceId, userIds: holders, cause: 'api' }) : null;
      return { group: await get(workspaceId, groupId), reevaluated };
    },

    /** The same for a push of many groups; see the catalogue's `upsert`. */
    async push(
      workspaceId: string,
      groups: readonly AppGroupInput[],
      { applyNow, check }: { readonly applyNow: boolean; readonly check?: ((catalogueVersion: number) => void) | undefined },
    ): Promise<UpsertResult> {
      // Not under a lock: whoever joins a group in between gets the new requirement at the next login, as everybody did before.
      const moved = await heldGroupsWhoseRequirementMoves(db, workspaceId, groups);
      if (moved.length > 0 && !applyNow) throw needsReevaluation(moved.map(({ name }) => name));
      const result = await catalogue.upsert(workspaceId, groups, check);
      if (moved.length > 0) {
        const userIds = await db.transaction((tx) =>
          holdersOf(
            tx,
            workspaceId,
            moved.map(({ groupId }) => groupId),
          ),
        );
        await reevaluateMembers({ workspaceId, userIds, cause: 'api' });
      }
      return result;
    },

    /**
     * Deletes a group. While members hold it, it first says who they are; with the token of that state they are re-evaluated without
     * the group, and lose it in any case, in one transaction with the events.
     */
    async remove(
      workspaceId: string,
      groupId: string,
      { confirm }: { readonly confirm?: string | undefined },
    ): Promise<GroupRemoval> {
      return db.transaction(async (tx) => {
        const group = await lockGroup(tx, workspaceId, groupId);
        const holders = await holdersOf(tx, workspaceId, [groupId]);
        const token = stateDigest(['delete-group', workspaceId, groupId, group.name, group.requiresRole, holders]);
        if (holders.length > 0 && confirm !== token) {
          const impact = { members: holders.length, firstUserIds: holders.slice(0, membersShown) };
          return { kind: 'unconfirmed', impact, token, stale: confirm !== undefined };
        }
        const context = { ladder: roles, compile: createCompiler({ withoutGroupId: groupId }), now: now() };
        for (let at = 0; at < holders.length; at += membersPerBatch) {
          const userIds = holders.slice(at, at + membersPerBatch);
          await reevaluateBatch(tx, { workspaceId, userIds, cause: 'api' }, context);
          await dropGroup(tx, { workspaceId, groupId, userIds }, now());
        }
        await tx('app_groups').where({ workspace_id: workspaceId, group_id: groupId }).delete();
        await raiseCatalogueVersion(tx, workspaceId, now());
        return { kind: 'removed', members: holders.length };
      });
    },
  };
}

/** A requirement that moves while there are members, and nobody said what becomes of them. */
export function needsReevaluation(names: readonly string[]): BrokerError {
  const shown = names.slice(0, 5).map((name) => JSON.stringify(name));
  const message = `${shown.join(', ')} ${names.length === 1 ? 'has' : 'have'} members: add apply=now to re-evaluate their roles at once`;
  return new BrokerError('conflict', 'the role that a group requires cannot change while it has members', {
    reason: 'group_has_members',
    fields: [{ path: 'requires_role', message }],
  });
}

/** Active members who hold one of the groups, in the order of their ids. Index: memberships_pkey. */
async function holdersOf(
  tx: Database | Transaction,
  workspaceId: string,
  groupIds: readonly string[],
): Promise<readonly string[]> {
  const { rows } = await tx.raw<{ rows: { user_id: string }[] }>(
    `SELECT user_id FROM memberships
      WHERE workspace_id = ? AND status = 'active' AND group_ids && ?::uuid[] ORDER BY user_id`,
    [workspaceId, [...groupIds]],
  );
  return rows.map(({ user_id }) => user_id);
}

/** In one pass over the members, however many groups move. */
async function heldGroupsWhoseRequirementMoves(
  tx: Database | Transaction,
  workspaceId: string,
  groups: readonly AppGroupInput[],
): Promise<readonly AppGroup[]> {
  const { rows } = await tx.raw<{ rows: AppGroupRow[] }>(
    `WITH input AS MATERIALIZED (
       SELECT * FROM unnest(:ids::uuid[], :names::text[], :requiredRoles::text[]) AS i (group_id, name, requires_role)
     ), named AS (
       SELECT g.*, i.requires_role AS wanted FROM input i
         JOIN app_groups g ON g.workspace_id = :workspaceId AND g.group_id = i.group_id
       UNION ALL
       SELECT g.*, i.requires_role FROM input i
         JOIN app_groups g ON g.workspace_id = :workspaceId AND g.name = i.name WHERE i.group_id IS NULL
     ), moved AS MATERIALIZED (
       SELECT group_id, name, requires_role FROM named WHERE requires_role IS DISTINCT FROM wanted)
     SELECT * FROM moved WHERE group_id IN (
       SELECT unnest(m.group_ids) FROM memberships m
        WHERE m.workspace_id = :workspaceId AND m.status = 'active' AND m.group_ids && ARRAY(SELECT group_id FROM moved))`,
    {
      workspaceId,
      ids: groups.map(({ groupId }) => groupId ?? null),
      names: groups.map(({ name }) => name),
      requiredRoles: groups.map(({ requiresRole }) => requiresRole),
    },
  );
  return rows.map(appGroupOf);
}

async function lockGroup(tx: Transaction, workspaceId: string, groupId: string): Promise<AppGroup> {
  const row = isUniqueId(groupId)
    ? await tx('app_groups')
        .where({ workspace_id: workspaceId, group_id: groupId })
        .forNoKeyUpdate()
        .first<AppGroupRow | undefined>('group_id', 'name', 'requires_role')
    : undefined;
  if (!row) throw noGroup();
  return appGroupOf(row);
}

function checkPatch({ name, requiresRole }: GroupPatch, roles: RoleLadder): void {
  const fields = [
    ...(name !== undefined && roles.includes(name)
      ? [{ path: 'name', message: 'this is the name of a role, which no group can have' }]
      : []),
    ...(requiresRole != null && !roles.includes(requiresRole)
      ? [{ path: 'requires_role', message: `give one of ${roles.join(', ')}, or null` }]
      : []),
  ];
  if (fields.length === 0) return;
  throw new BrokerError('validation_failed', fields.map(({ path, message }) => `${path}: ${message}`).join('; '), { fields });
}

async function writeGroup(tx: Transaction, workspaceId: string, stored: AppGroup, patch: GroupPatch, now: Date): Promise<void> {
  const { name = stored.name, requiresRole = stored.requiresRole } = patch;
  if (name === stored.name && requiresRole === stored.requiresRole) return;
  await tx('app_groups')
    .where({ workspace_id: workspaceId, group_id: stored.groupId })
    .update({ name, requires_role: requiresRole, updated_at: now });
  await raiseCatalogueVersion(tx, workspaceId, now);
}

/** The caches of logins compare it. */
async function raiseCatalogueVersion(tx: Transaction, workspaceId: string, now: Date): Promise<void> {
  await tx('workspaces')
    .where({ workspace_id: workspaceId })
    .update({ catalogue_version: tx.raw('catalogue_version + 1'), updated_at: now });
}

function noGroup(): BrokerError {
  return new BrokerError('not_found', 'the workspace has no such app group');
}

function nameTaken(cause: unknown): BrokerError {
  const message = 'another group has this name; to swap two names, push both in one request';
  return new BrokerError('conflict', message, { cause, reason: 'group_name_taken', fields: [{ path: 'name', message }] });
}
