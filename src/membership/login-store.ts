import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { AppGroup } from '../domain/group-sync.ts';
import type { User } from '../domain/user.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import type { StoredMembership } from './decision.ts';
import { userOf } from './store.ts';

/** What a login confirms and locks. It reads by `login-state.ts`, decides in `login-outcome.ts` and writes by `login-write.ts`. */

export interface LoginTraceRow {
  readonly loginId: string;
  readonly connectionId: string | null;
  readonly userId: string | null;
  /** `signed_in`, or a code of the error table. */
  readonly outcome: string;
  readonly reason: string | null;
  readonly detail: object;
  readonly occurredAt: Date;
}

export interface Confirmation {
  readonly connectionId: string;
  readonly identity: Pick<FederatedIdentity, 'subject' | 'issuer' | 'answerId' | 'answerExpiresAt'>;
  readonly profileFingerprint: string;
  /** Null: this answer's groups are unknown, so no last-seen set is compared. */
  readonly groupsFingerprint: string | null;
  readonly memberships: readonly { readonly workspaceId: string; readonly fingerprint: string }[];
  readonly trace: LoginTraceRow;
}

/**
 * The whole sync of a login that changes nothing, in one statement: it marks the answer as used and writes the trace only if the
 * connection is enabled, and person, profile, groups and every membership are exactly as the last sync left them.
 * @returns null if anything differs (nothing is written then); else the user and whether the answer was fresh
 */
export async function confirmUnchanged(db: Database, login: Confirmation): Promise<{ userId: string; fresh: boolean } | null> {
  const { identity, trace } = login;
  const { rows } = await db.raw(
    `WITH person AS (
       SELECT i.user_id FROM identities i JOIN users u ON u.user_id = i.user_id JOIN connections c USING (connection_id)
        WHERE i.connection_id = :connectionId AND i.subject = :subject AND i.issuer = :issuer AND c.enabled
          AND u.status = 'active' AND u.profile_fingerprint = :profileFingerprint
          AND (:groupsFingerprint::text IS NULL OR i.groups_fingerprint = :groupsFingerprint)
          AND cardinality(:workspaceIds::uuid[]) = (
            SELECT count(*) FROM unnest(:workspaceIds::uuid[], :fingerprints::text[]) AS expected (workspace_id, fingerprint)
              JOIN memberships m ON m.workspace_id = expected.workspace_id AND m.user_id = i.user_id
                                AND m.fingerprint = expected.fingerprint AND m.status = 'active')),
     used AS (
       INSERT INTO used_answers (connection_id, answer_id, used_until)
       SELECT :connectionId, :answerId, :usedUntil FROM person ON CONFLICT DO NOTHING RETURNING 1),
     seen AS (
       UPDATE identities i SET last_login_at = :now FROM person, used
        WHERE i.connection_id = :connectionId AND i.subject = :subject RETURNING i.user_id),
     traced AS (
       INSERT INTO login_traces (login_id, connection_id, user_id, outcome, reason, detail, occurred_at)
       SELECT :loginId, :connectionId, seen.user_id, 'signed_in', NULL, :detail, :now FROM seen)
     SELECT person.user_id, EXISTS (SELECT FROM used) AS fresh FROM person`,
    {
      connectionId: login.connectionId,
      subject: identity.subject,
      issuer: identity.issuer,
      profileFingerprint: login.profileFingerprint,
      groupsFingerprint: login.groupsFingerprint,
      workspaceIds: login.memberships.map(({ workspaceId }) => workspaceId),
      fingerprints: login.memberships.map(({ fingerprint }) => fingerprint),
      answerId: identity.answerId,
      usedUntil: identity.answerExpiresAt,
      loginId: trace.loginId,
      detail: JSON.stringify(trace.detail),
      now: trace.occurredAt,
    },
  );
  const row = rows[0];
  return row ? { userId: row.user_id, fresh: row.fresh } : null;
}

export interface KnownIdentity {
  readonly issuer: string;
  readonly user: User;
  readonly profileFingerprint: string | null;
}

/**
 * Holds back changes of the connection, its sync list and the archiving of a workspace on it until commit: whoever removes members
 * there holds this lock from before they count them. To be taken before any user's. Null: there is no such connection.
 */
export async function lockConnection(
  tx: Transaction,
  connectionId: string,
): Promise<{ readonly version: number; readonly enabled: boolean } | null> {
  const { rows } = await tx.raw('SELECT version, enabled FROM connections WHERE connection_id = ? FOR SHARE', [connectionId]);
  return rows[0] ? { version: Number(rows[0].version), enabled: rows[0].enabled } : null;
}

/** Finds the person behind connection and subject and locks the user's row until commit: logins of one user follow one another (R28). */
export async function lockIdentity(tx: Transaction, connectionId: string, subject: string): Promise<KnownIdentity | null> {
  const { rows } = await tx.raw(
    `SELECT i.issuer, u.* FROM identities i JOIN users u ON u.user_id = i.user_id
      WHERE i.connection_id = ? AND i.subject = ? FOR NO KEY UPDATE OF u`,
    [connectionId, subject],
  );
  return rows[0] ? knownOf(rows[0]) : null;
}

export function knownOf(row: Record<string, unknown>): KnownIdentity {
  return { issuer: row.issuer as string, user: userOf(row), profileFingerprint: row.profile_fingerprint as string | null };
}

/** Holds back a second first login of the same identity until this transaction ends. */
export async function lockNewIdentity(tx: Transaction, connectionId: string, subject: string): Promise<void> {
  await tx.raw('SELECT pg_advisory_xact_lock(hashtextextended(?, 0))', [newIdentityKey(connectionId, subject)]);
}

export function newIdentityKey(connectionId: string, subject: string): string {
  return `identity:${connectionId}:${subject}`;
}

/** Of a row `m`, as `StoredMembership` has them. */
export const groupsOfMembership = `coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name))
  FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]')`;

/** The user's memberships in the named workspaces, by workspace id. */
export async function readMemberships(
  tx: Transaction,
  userId: string,
  workspaceIds: readonly string[],
): Promise<Map<string, StoredMembership>> {
  const { rows } = await tx.raw(
    `SELECT m.workspace_id, m.user_id, m.role, m.status, m.version, m.reasons, ${groupsOfMembership} AS groups
       FROM memberships m WHERE m.workspace_id = ANY (?::uuid[]) AND m.user_id = ?`,
    [[...workspaceIds], userId],
  );
  return new Map(rows.map((row: MembershipRow) => [row.workspace_id, membershipOf(row)]));
}

/** R30: serialises changes to the admins of a workspace, then says whether anybody but this user holds the highest role. */
export async function hasOtherAdmin(tx: Transaction, workspaceId: string, userId: string, adminRole: string): Promise<boolean> {
  await tx.raw('SELECT 1 FROM workspaces WHERE workspace_id = ? FOR NO KEY UPDATE', [workspaceId]);
  const { rows } = await tx.raw(
    `SELECT 1 FROM memberships m JOIN users u ON u.user_id = m.user_id
      WHERE m.workspace_id = ? AND m.role = ? AND m.status = 'active' AND m.user_id <> ? AND u.status = 'active' LIMIT 1`,
    [workspaceId, adminRole, userId],
  );
  return rows.length > 0;
}

/** R23 `createMissingGroups`. @returns false if somebody else made one of the names first: the sync must look again */
export async function createAppGroups(tx: Transaction, workspaceId: string, groups: readonly AppGroup[]): Promise<boolean> {
  const { rows } = await tx.raw(
    `WITH bumped AS (UPDATE workspaces SET catalogue_version = catalogue_version + 1 WHERE workspace_id = :workspaceId)
     INSERT INTO app_groups (workspace_id, group_id, name)
     SELECT :workspaceId, n.group_id, n.name FROM unnest(:groupIds::uuid[], :names::text[]) AS n (group_id, name)
     ON CONFLICT DO NOTHING RETURNING 1`,
    { workspaceId, groupIds: groups.map(({ groupId }) => groupId), names: groups.map(({ name }) => name) },
  );
  return rows.length === groups.length;
}

/** @param condition decides whether there is a row; SQL of the caller's */
export function insertTraceSql(condition: string): string {
  return `INSERT INTO login_traces (login_id, connection_id, user_id, outcome, reason, detail, occurred_at)
  SELECT :loginId, :traceConnectionId, :traceUserId, :outcome, :reason, :detail::jsonb, :occurredAt WHERE ${condition}
  ON CONFLICT (login_id) DO NOTHING`;
}

export function traceBindings({ loginId, connectionId, userId, outcome, reason, detail, occurredAt }: LoginTraceRow) {
  const [traceConnectionId, traceUserId] = [connectionId, userId];
  return { loginId, traceConnectionId, traceUserId, outcome, reason, detail: JSON.stringify(detail), occurredAt };
}

export async function insertTrace(db: Database | Transaction, trace: LoginTraceRow): Promise<void> {
  await db.raw(insertTraceSql('true'), traceBindings(trace));
}

interface MembershipRow {
  readonly workspace_id: string;
  readonly user_id: string;
  readonly role: string;
  readonly status: 'active' | 'removed';
  readonly version: string;
  readonly reasons: StoredMembership['reasons'];
  readonly groups: StoredMembership['groups'];
}

function membershipOf(row: MembershipRow): StoredMembership {
  const { role, status, reasons, groups } = row;
  return { workspaceId: row.workspace_id, userId: row.user_id, role, status, version: Number(row.version), reasons, groups };
}
