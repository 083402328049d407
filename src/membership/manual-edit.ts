import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import type { AppGroup, RoleLadder } from '../domain/group-sync.ts';
import type { GroupRef, Reason } from '../domain/membership.ts';
import type { User } from '../domain/user.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { appendEvents } from '../outbox/append.ts';
import type { StoredMembership } from './decision.ts';
import { diffMembership } from './diff.ts';
import { membershipEvent } from './events.ts';
import { hasOtherAdmin, readMemberships } from './login-store.ts';
import { createMembershipStore, type Member, userOf } from './store.ts';

export interface MembershipEdit {
  readonly role: string;
  readonly groupIds: readonly string[];
}

export interface EditOptions {
  /** Throws when the member, read under the user's lock, is not what the editor saw; null: whatever is there. */
  readonly precondition: ((current: Member | null) => void) | null;
  /** Whether a user without any membership here may become a member: for keys that see all users only (R13). */
  readonly mayAdd: boolean;
}

export type ManualEdits = ReturnType<typeof createManualEdits>;

/**
 * Edits of a membership by hand. The next login overwrites them (`authoritative`) or leaves what was added here (`managed-only`,
 * R27): grants that were there keep their reasons, new ones are marked as manual.
 */
export function createManualEdits(deps: { readonly db: Database; readonly ladder: RoleLadder; readonly now: () => Date }) {
  const { db, ladder, now } = deps;

  return {
    /**
     * @returns false: the membership was exactly so before, and nothing was written
     * @throws BrokerError `not_found`, `validation_failed`, `conflict` for the last admin (R30) and archived
     *   workspaces, and what the precondition throws
     */
    async put(workspaceId: string, userId: string, edit: MembershipEdit, options: EditOptions): Promise<boolean> {
      return db.transaction(async (tx) => {
        const { user, stored } = await lockMember(tx, workspaceId, userId, options);
        const groups = await checkEdit(tx, workspaceId, edit, ladder);
        if (edit.role !== ladder[0]) await protectLastAdmin(tx, stored);
        const next = { workspaceId, userId, role: edit.role, groups, status: 'active' as const };
        return save(tx, user, stored, { ...next, reasons: reasonsAfter(stored, next) });
      });
    },

    /** Ends a membership by hand; a later login may grant it again. @returns false: it had ended before */
    async remove(workspaceId: string, userId: string, options: Omit<EditOptions, 'mayAdd'>): Promise<boolean> {
      return db.transaction(async (tx) => {
        const { user, stored } = await lockMember(tx, workspaceId, userId, { ...options, mayAdd: false });
        await protectLastAdmin(tx, stored);
        const role = stored?.role ?? '';
        return save(tx, user, stored, { workspaceId, userId, role, groups: [], status: 'removed', reasons: [] });
      });
    },
  };

  async function protectLastAdmin(tx: Transaction, stored: StoredMembership | null): Promise<void> {
    if (stored?.status !== 'active' || stored.role !== ladder[0]) return;
    if (await hasOtherAdmin(tx, stored.workspaceId, stored.userId, ladder[0])) return;
    const message = `this is the last ${ladder[0]} of the workspace: give the role to somebody else first`;
    throw new BrokerError('conflict', message, { reason: 'last_admin', fields: [{ path: 'role', message }] });
  }

  async function save(
    tx: Transaction,
    user: User,
    stored: StoredMembership | null,
    { reasons, ...next }: Omit<StoredMembership, 'version'>,
  ): Promise<boolean> {
    const change = diffMembership(stored, next);
    if (!change) return false;
    const { workspaceId, userId } = next;
    await tx.raw(
      `INSERT INTO memberships (workspace_id, user_id, role, group_ids, status, version, reasons, created_at, updated_at)
       VALUES (:workspaceId, :userId, :role, :groupIds::uuid[], :status, :version, :reasons::jsonb, :now, :now)
       ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role, group_ids = excluded.group_ids,
         status = excluded.status, version = excluded.version, reasons = excluded.reasons, warnings = '[]', fingerprint = NULL,
         login_id = NULL, updated_at = excluded.updated_at`,
      {
        workspaceId,
        userId,
        role: next.role,
        groupIds: next.groups.map(({ groupId }) => groupId),
        status: next.status,
        version: change.next.version,
        reasons: JSON.stringify(reasons),
        now: now(),
      },
    );
    const { slug } = await tx('workspaces').where({ workspace_id: workspaceId }).first('slug');
    const cause = { kind: 'api', connection_id: null, login_id: null } as const;
    const event = membershipEvent(change, { workspaceId, workspaceSlug: slug }, { user, cause, now: now() });
    await appendEvents(tx, [event], { now: now() });
    return true;
  }
}

/** The user's lock first, as at a login; then what the edit is made to. */
async function lockMember(
  tx: Transaction,
  workspaceId: string,
  userId: string,
  { precondition, mayAdd }: EditOptions,
): Promise<{ readonly user: User; readonly stored: StoredMembership | null }> {
  const row = await tx('users').where({ user_id: userId, deleted_at: null }).forNoKeyUpdate().first();
  const stored = row ? ((await readMemberships(tx, userId, [workspaceId])).get(workspaceId) ?? null) : null;
  if (!row || (!stored && !mayAdd)) throw new BrokerError('not_found', 'the workspace has no such member');
  if (precondition) {
    const members = createMembershipStore({ db: tx });
    precondition(stored ? (await members.explain(workspaceId, userId)).member : null);
  }
  const workspace = await tx('workspaces').where({ workspace_id: workspaceId }).first<{ status: string }>('status');
  if (workspace.status !== 'active') {
    throw new BrokerError('conflict', 'the workspace is archived', { reason: 'workspace_archived' });
  }
  return { user: userOf(row), stored };
}

async function checkEdit(
  tx: Transaction,
  workspaceId: string,
  { role, groupIds }: MembershipEdit,
  ladder: RoleLadder,
): Promise<readonly GroupRef[]> {
  const errors: FieldError[] = [];
  if (!ladder.includes(role)) errors.push({ path: 'role', message: `give one of ${ladder.join(', ')}` });
  // Held until commit: a group that is deleted meanwhile must not stay on a member.
  const rows: AppGroup[] = await tx('app_groups')
    .where({ workspace_id: workspaceId })
    .whereIn('group_id', [...groupIds])
    .forKeyShare()
    .select('group_id as groupId', 'name', 'requires_role as requiresRole');
  const known = new Map(rows.map((group) => [group.groupId, group]));
  groupIds.forEach((groupId, index) => {
    const group = known.get(groupId);
    if (!group) errors.push({ path: `groups.${index}`, message: 'the workspace has no such app group' });
    else if (group.requiresRole !== null && ladder.indexOf(role) > ladder.indexOf(group.requiresRole)) {
      errors.push({ path: `groups.${index}`, message: `this group requires the role ${group.requiresRole} at least` });
    }
  });
  if (errors.length > 0) {
    const detail = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new BrokerError('validation_failed', detail, { fields: errors });
  }
  return rows.map(({ groupId, name }) => ({ groupId, name }));
}

/** Reasons of the grants that stay, and "manual" for those that the edit gave. Pure. */
export function reasonsAfter(
  stored: Pick<StoredMembership, 'status' | 'role' | 'reasons'> | null,
  next: { readonly role: string; readonly groups: readonly GroupRef[] },
): readonly Reason[] {
  const before = stored?.status === 'active' ? stored.reasons : [];
  const held = new Set(next.groups.map(({ groupId }) => groupId));
  const kept = before.filter(({ grant, via }) => {
    if (grant.kind === 'group') return held.has(grant.groupId);
    return grant.role === next.role && !(via.kind === 'group-requires' && !held.has(via.groupId));
  });
  const explained = new Set(kept.flatMap(({ grant }) => (grant.kind === 'group' ? [grant.groupId] : [])));
  const manual = next.groups
    .filter(({ groupId }) => !explained.has(groupId))
    .map(({ groupId, name }): Reason => manualReason({ kind: 'group', groupId, name }));
  const roleExplained = kept.some(({ grant }) => grant.kind === 'role');
  return [...kept, ...manual, ...(roleExplained ? [] : [manualReason({ kind: 'role', role: next.role })])];
}

function manualReason(grant: Reason['grant']): Reason {
  return { grant, idpGroup: null, via: { kind: 'kept', because: 'manual' } };
}
