import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { AppGroup } from '../domain/group-sync.ts';
import type { User } from '../domain/user.ts';
import type { WebhookEvent } from '../domain/webhook-event.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { eventRows, insertEventsSql } from '../outbox/append.ts';
import type { StoredMembership } from './decision.ts';
import { userOf } from './store.ts';

/** Every statement that a login runs against users, identities and memberships. The decisions are in `apply.ts`. */

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
 * The whole sync of a login that changes nothing, in one statement: it marks the answer as used and writes the trace only if person,
 * profile, groups and every membership are exactly as the last sync left them.
 * @returns null if anything differs (nothing is written then); else the user and whether the answer was fresh
 */
export async function confirmUnchanged(db: Database, login: Confirmation): Promise<{ userId: string; fresh: boolean } | null> {
  const { identity, trace } = login;
  const { rows } = await db.raw(
    `WITH person AS (
       SELECT i.user_id FROM identities i JOIN users u ON u.user_id = i.user_id
        WHERE i.connection_id = :connectionId AND i.subject = :subject AND i.issuer = :issuer
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

/** Replay protection (SAML Profiles 4.1.4.5): true exactly once for each answer of a connection. */
export async function markAnswerUsed(
  tx: Transaction,
  mark: { readonly connectionId: string; readonly answerId: string; readonly usedUntil: Date },
): Promise<boolean> {
  const { rows } = await tx.raw(
    `INSERT INTO used_answers (connection_id, answer_id, used_until) VALUES (:connectionId, :answerId, :usedUntil)
     ON CONFLICT DO NOTHING RETURNING 1`,
    mark,
  );
  return rows.length === 1;
}

export interface KnownIdentity {
  readonly issuer: string;
  readonly user: User;
  readonly profileFingerprint: string | null;
}

/** Finds the person behind connection and subject and locks the user's row until commit: logins of one user follow one another (R28). */
export async function lockIdentity(tx: Transaction, connectionId: string, subject: string): Promise<KnownIdentity | null> {
  const { rows } = await tx.raw(
    `SELECT i.issuer, u.* FROM identities i JOIN users u ON u.user_id = i.user_id
      WHERE i.connection_id = ? AND i.subject = ? FOR NO KEY UPDATE OF u`,
    [connectionId, subject],
  );
  const row = rows[0];
  return row ? { issuer: row.issuer, user: userOf(row), profileFingerprint: row.profile_fingerprint } : null;
}

/** Holds back a second first login of the same identity until this transaction ends. */
export async function lockNewIdentity(tx: Transaction, connectionId: string, subject: string): Promise<void> {
  await tx.raw('SELECT pg_advisory_xact_lock(hashtextextended(?, 0))', [`identity:${connectionId}:${subject}`]);
}

/** The user's memberships in the named workspaces, by workspace id. */
export async function readMemberships(
  tx: Transaction,
  userId: string,
  workspaceIds: readonly string[],
): Promise<Map<string, StoredMembership>> {
  const { rows } = await tx.raw(
    `SELECT m.workspace_id, m.user_id, m.role, m.status, m.version, m.reasons,
            coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name))
                        FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]') AS groups
       FROM memberships m WHERE m.workspace_id = ANY (?::uuid[]) AND m.user_id = ?`,
    [[...workspaceIds], userId],
  );
  return new Map(rows.map((row: MembershipRow) => [row.workspace_id, membershipOf(row)]));
}

/**
 * The workspaces among these that the connection serves at this moment, each with the user's membership. A login's view of its
 * connection may be seconds old: what was removed or archived meanwhile must not be granted again.
 */
export async function readServed(
  tx: Transaction,
  connectionId: string,
  userId: string,
  workspaceIds: readonly string[],
): Promise<Map<string, StoredMembership | null>> {
  const { rows } = await tx.raw(
    `SELECT w.workspace_id, m.user_id, m.role, m.status, m.version, m.reasons,
            coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name))
                        FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]') AS groups
       FROM connections c
       JOIN workspaces w ON w.workspace_id = ANY (:workspaceIds::uuid[]) AND w.status = 'active'
       LEFT JOIN connection_workspaces s ON s.workspace_id = w.workspace_id AND s.connection_id = c.connection_id
       LEFT JOIN memberships m ON m.workspace_id = w.workspace_id AND m.user_id = :userId
      WHERE c.connection_id = :connectionId AND (c.workspace_id = w.workspace_id OR s.workspace_id IS NOT NULL)`,
    { connectionId, userId, workspaceIds: [...workspaceIds] },
  );
  return new Map(rows.map((row: MembershipRow) => [row.workspace_id, row.user_id === null ? null : membershipOf(row)]));
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

export interface MembershipRecord {
  readonly workspace_id: string;
  readonly role: string;
  readonly group_ids: readonly string[];
  readonly status: 'active' | 'removed';
  readonly version: number;
  readonly reasons: readonly unknown[];
  readonly warnings: readonly unknown[];
  readonly fingerprint: string | null;
}

/** Everything that a login writes; `profileFingerprint` null: the user is stored as they are. */
export interface LoginWrite {
  readonly user: User;
  readonly profileFingerprint: string | null;
  readonly identity: Pick<FederatedIdentity, 'subject' | 'issuer'>;
  readonly connectionId: string;
  /** Claim name to group names; null: unknown this time, the last-seen ones stay (law 6). */
  readonly groups: Readonly<Record<string, readonly string[]>> | null;
  readonly groupsFingerprint: string | null;
  readonly memberships: readonly MembershipRecord[];
  readonly events: readonly WebhookEvent[];
  readonly trace: LoginTraceRow;
  readonly now: Date;
}

/** User, identity, memberships of all workspaces, events and trace in one statement: one round trip (law 2). */
export async function saveLogin(tx: Transaction, login: LoginWrite): Promise<void> {
  const { user, trace, now } = login;
  await tx.raw(
    `WITH person AS (
       INSERT INTO users (user_id, email, email_verified, name, given_name, family_name, profile_fingerprint, created_at, updated_at)
       SELECT :userId, :email, :emailVerified::boolean, :name, :givenName, :familyName, :profileFingerprint, :now, :now
        WHERE :profileFingerprint::text IS NOT NULL
       ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, email_verified = excluded.email_verified, name = excluded.name,
         given_name = excluded.given_name, family_name = excluded.family_name,
         profile_fingerprint = excluded.profile_fingerprint, updated_at = excluded.updated_at),
     identity AS (
       INSERT INTO identities (connection_id, subject, issuer, user_id, last_groups, last_groups_at, groups_fingerprint, last_login_at)
       SELECT :connectionId, :subject, :issuer, :userId, :groups::jsonb, CASE WHEN :groups::jsonb IS NOT NULL THEN :now::timestamptz END,
              :groupsFingerprint, :now
       ON CONFLICT (connection_id, subject) DO UPDATE SET last_login_at = excluded.last_login_at,
         last_groups = coalesce(excluded.last_groups, identities.last_groups),
         last_groups_at = coalesce(excluded.last_groups_at, identities.last_groups_at),
         groups_fingerprint = coalesce(excluded.groups_fingerprint, identities.groups_fingerprint)),
     saved AS (
       INSERT INTO memberships (workspace_id, user_id, role, group_ids, status, version, reasons, warnings, fingerprint,
                                connection_id, login_id, created_at, updated_at)
       SELECT r.workspace_id, :userId, r.role, ARRAY(SELECT jsonb_array_elements_text(r.group_ids)::uuid), r.status, r.version,
              r.reasons, r.warnings, r.fingerprint, :connectionId, :loginId, :now, :now
         FROM jsonb_to_recordset(:records::jsonb) AS r (workspace_id uuid, role text, group_ids jsonb, status text, version bigint,
                                                        reasons jsonb, warnings jsonb, fingerprint text)
       ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role, group_ids = excluded.group_ids,
         status = excluded.status, version = excluded.version, reasons = excluded.reasons, warnings = excluded.warnings,
         fingerprint = excluded.fingerprint, connection_id = excluded.connection_id, login_id = excluded.login_id,
         updated_at = excluded.updated_at),
     appended AS (${insertEventsSql})
     ${insertTraceSql}`,
    {
      userId: user.userId,
      email: user.email,
      emailVerified: user.emailVerified,
      name: user.name,
      givenName: user.givenName,
      familyName: user.familyName,
      profileFingerprint: login.profileFingerprint,
      connectionId: login.connectionId,
      subject: login.identity.subject,
      issuer: login.identity.issuer,
      groups: login.groups && JSON.stringify(login.groups),
      groupsFingerprint: login.groupsFingerprint,
      records: JSON.stringify(login.memberships),
      now,
      ...eventRows(login.events, now),
      ...traceBindings(trace),
    },
  );
}

/** A held membership keeps everything; its fingerprint alone says whether the next equal login needs to look again. */
export async function saveFingerprint(
  tx: Transaction,
  workspaceId: string,
  userId: string,
  fingerprint: string | null,
): Promise<void> {
  await tx.raw('UPDATE memberships SET fingerprint = ? WHERE workspace_id = ? AND user_id = ?', [
    fingerprint,
    workspaceId,
    userId,
  ]);
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

const insertTraceSql = `
  INSERT INTO login_traces (login_id, connection_id, user_id, outcome, reason, detail, occurred_at)
  SELECT :loginId, :traceConnectionId, :traceUserId, :outcome, :reason, :detail::jsonb, :occurredAt
  ON CONFLICT (login_id) DO NOTHING`;

function traceBindings({ loginId, connectionId, userId, outcome, reason, detail, occurredAt }: LoginTraceRow) {
  const [traceConnectionId, traceUserId] = [connectionId, userId];
  return { loginId, traceConnectionId, traceUserId, outcome, reason, detail: JSON.stringify(detail), occurredAt };
}

export async function insertTrace(db: Database | Transaction, trace: LoginTraceRow): Promise<void> {
  await db.raw(insertTraceSql, traceBindings(trace));
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
