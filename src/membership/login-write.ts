import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { User } from '../domain/user.ts';
import type { WebhookEvent } from '../domain/webhook-event.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { eventRows, insertEventsIf } from '../outbox/append.ts';
import type { HeldMembership } from './login-state.ts';
import { insertTraceSql, type LoginTraceRow, newIdentityKey, traceBindings } from './login-store.ts';

export interface MembershipRecord {
  readonly workspace_id: string;
  /** False: the row is there, and is changed. */
  readonly is_new: boolean;
  readonly role: string;
  readonly group_ids: readonly string[];
  readonly status: 'active' | 'removed';
  readonly version: number;
  readonly reasons: readonly unknown[];
  readonly warnings: readonly unknown[];
  readonly fingerprint: string | null;
}

/** Everything that a login writes, and everything that it was decided by, which must still be so. */
export interface LoginWrite {
  readonly connectionId: string;
  /** As it was read. */
  readonly connectionVersion: number;
  /** Lets somebody in, or takes a membership over from another connection: nobody may remove the workspace meanwhile. */
  readonly entering: boolean;
  readonly user: User;
  /** The known person's fingerprint as it was read; null: the person is made by this login. */
  readonly storedProfile: { readonly fingerprint: string | null } | null;
  /** Null: the user is stored as they are. */
  readonly profileFingerprint: string | null;
  readonly identity: Pick<FederatedIdentity, 'subject' | 'issuer' | 'answerId' | 'answerExpiresAt'>;
  readonly newIdentity: boolean;
  /** Claim name to group names; null: unknown this time, the last-seen ones stay (law 6). */
  readonly groups: Readonly<Record<string, readonly string[]>> | null;
  readonly groupsFingerprint: string | null;
  /** The memberships as they were read. */
  readonly read: readonly Pick<HeldMembership, 'workspaceId' | 'rowVersion'>[];
  readonly memberships: readonly MembershipRecord[];
  readonly holds: readonly { readonly workspace_id: string; readonly fingerprint: string | null }[];
  readonly events: readonly WebhookEvent[];
  readonly trace: LoginTraceRow;
  readonly now: Date;
}

/** `moved`: something is not as it was read, so nothing was written. `replayed`: the answer was accepted before; nor was anything. */
export type Saved = 'saved' | 'moved' | 'replayed';

/**
 * Compares, and writes all of a login or nothing, in one statement (laws 2 and 3).
 *
 * Its parts run in the order in which they feed one another: connection, person, memberships, the answer's mark, everything else. The
 * first three lock what they find, waiting for whoever changes it, and find it only if it is as it was read: a row that was waited for
 * is compared as it became. What is not locked is read as of the statement's beginning. Positions of events are given out after the
 * person's lock was got, so that the events of one person stand in the order of the versions (R28).
 *
 * Rows that are new must not be there: Postgres refuses the statement otherwise, see `isTakenMeanwhile`.
 *
 * @param options.waitMilliseconds for each lock; to be given outside a transaction, where nothing else ends the waiting at the server.
 *   SQLSTATE 55P03 (lock_not_available) when it is over. Null: as long as a statement may take
 */
export async function saveLogin(
  db: Database | Transaction,
  login: LoginWrite,
  { waitMilliseconds = null }: { readonly waitMilliseconds?: number | null } = {},
): Promise<Saved> {
  const { user, identity, now } = login;
  const { rows } = await db.raw(statementFor(login, waitMilliseconds), {
    waitMilliseconds,
    connectionId: login.connectionId,
    connectionVersion: login.connectionVersion,
    subject: identity.subject,
    issuer: identity.issuer,
    identityKey: newIdentityKey(login.connectionId, identity.subject),
    answerId: identity.answerId,
    usedUntil: identity.answerExpiresAt,
    userId: user.userId,
    email: user.email,
    emailVerified: user.emailVerified,
    name: user.name,
    givenName: user.givenName,
    familyName: user.familyName,
    storedFingerprint: login.storedProfile?.fingerprint ?? null,
    profileFingerprint: login.profileFingerprint,
    groups: login.groups && JSON.stringify(login.groups),
    groupsFingerprint: login.groupsFingerprint,
    readIn: login.read.map(({ workspaceId }) => workspaceId),
    readVersions: login.read.map(({ rowVersion }) => rowVersion),
    records: JSON.stringify(login.memberships),
    holds: JSON.stringify(login.holds),
    now,
    ...eventRows(login.events, now),
    ...traceBindings(login.trace),
  });
  const { held, fresh } = rows[0];
  if (!held) return 'moved';
  return fresh ? 'saved' : 'replayed';
}

/** Somebody else made the identity or a membership since it was found to be missing (SQLSTATE 23505, unique_violation). */
export function isTakenMeanwhile(error: unknown): boolean {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return code === '23505' && (constraint === 'identities_pkey' || constraint === 'memberships_pkey');
}

/** Parts that would do nothing are left out: Postgres plans the statement anew each time. */
function statementFor(login: LoginWrite, waitMilliseconds: number | null): string {
  const { storedProfile, newIdentity, profileFingerprint, memberships, holds, events } = login;
  const parts = [
    waitMilliseconds === null ? 'limited AS (SELECT)' : limitSql,
    connectionSql(login),
    ...(storedProfile ? [knownPersonSql(login)] : newPersonSql),
    heldSql,
    usedSql,
    ...(profileFingerprint === null ? [] : [storedProfile ? updateUserSql : insertUserSql]),
    newIdentity ? insertIdentitySql : updateIdentitySql,
    ...(memberships.some(({ is_new }) => is_new) ? [insertMembershipsSql] : []),
    ...(memberships.some(({ is_new }) => !is_new) ? [updateMembershipsSql] : []),
    ...(holds.length > 0 ? [updateFingerprintsSql] : []),
    ...(events.length > 0 ? [`appended AS (${insertEventsIf(accepted)})`] : []),
    `traced AS (${insertTraceSql(accepted)})`,
  ];
  return `WITH ${parts.join(',\n')} SELECT (${allHeld}) AS held, (${accepted}) AS fresh`;
}

const accepted = 'EXISTS (SELECT FROM used)';
const allHeld = 'EXISTS (SELECT FROM person) AND (SELECT count(*) FROM held) = cardinality(:readIn::uuid[])';

/** For this transaction only, which is this statement. It holds for the locks that are taken after it. */
const limitSql = `limited AS MATERIALIZED (SELECT set_config('lock_timeout', :waitMilliseconds::text, true))`;

/** See `lockConnection`. Who is a member by this connection already is protected by the user's lock. */
const connectionSql = ({ entering }: LoginWrite) => `connection AS MATERIALIZED (
  SELECT c.connection_id FROM limited, connections c
   WHERE c.connection_id = :connectionId AND c.version = :connectionVersion AND c.enabled ${entering ? 'FOR SHARE OF c' : ''})`;

const knownPersonSql = ({ newIdentity }: LoginWrite) => `person AS MATERIALIZED (
  SELECT u.user_id FROM connection, users u
   WHERE u.user_id = :userId AND u.status = 'active' AND u.profile_fingerprint IS NOT DISTINCT FROM :storedFingerprint::text
     AND ${newIdentity ? 'NOT' : ''} EXISTS (SELECT FROM identities i WHERE i.connection_id = :connectionId AND i.subject = :subject
                                               AND i.issuer = :issuer AND i.user_id = :userId)
     FOR NO KEY UPDATE OF u)`;

/** Administrators who link the subject to somebody hold the same lock. */
const newPersonSql = [
  'reserved AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended(:identityKey, 0)) FROM connection)',
  'person AS MATERIALIZED (SELECT :userId::uuid AS user_id FROM reserved)',
];

const heldSql = `held AS MATERIALIZED (
  SELECT m.workspace_id
    FROM person, unnest(:readIn::uuid[], :readVersions::text[]) AS expected (workspace_id, row_version), memberships m
   WHERE m.workspace_id = expected.workspace_id AND m.user_id = person.user_id AND m.xmin::text = expected.row_version
     FOR NO KEY UPDATE OF m)`;

/** Replay protection (SAML Profiles 4.1.4.5): a row exactly once for each answer of a connection. */
const usedSql = `used AS (
  INSERT INTO used_answers (connection_id, answer_id, used_until)
  SELECT :connectionId, :answerId, :usedUntil WHERE ${allHeld} ON CONFLICT DO NOTHING RETURNING 1)`;

const insertUserSql = `made AS (
  INSERT INTO users (user_id, email, email_verified, name, given_name, family_name, profile_fingerprint, created_at, updated_at)
  SELECT :userId, :email, :emailVerified::boolean, :name, :givenName, :familyName, :profileFingerprint, :now, :now FROM used)`;

const updateUserSql = `renamed AS (
  UPDATE users u SET email = :email, email_verified = :emailVerified::boolean, name = :name, given_name = :givenName,
         family_name = :familyName, profile_fingerprint = :profileFingerprint, updated_at = :now
    FROM used WHERE u.user_id = :userId)`;

const insertIdentitySql = `identified AS (
  INSERT INTO identities (connection_id, subject, issuer, user_id, last_groups, last_groups_at, groups_fingerprint, last_login_at)
  SELECT :connectionId, :subject, :issuer, :userId, :groups::jsonb, CASE WHEN :groups::jsonb IS NOT NULL THEN :now::timestamptz END,
         :groupsFingerprint, :now FROM used)`;

const updateIdentitySql = `identified AS (
  UPDATE identities i
     SET last_login_at = :now, last_groups = coalesce(:groups::jsonb, i.last_groups),
         last_groups_at = CASE WHEN :groups::jsonb IS NOT NULL THEN :now::timestamptz ELSE i.last_groups_at END,
         groups_fingerprint = coalesce(:groupsFingerprint::text, i.groups_fingerprint)
    FROM used WHERE i.connection_id = :connectionId AND i.subject = :subject AND i.user_id = :userId)`;

const recordsSql = `jsonb_to_recordset(:records::jsonb) AS r (workspace_id uuid, is_new boolean, role text, group_ids jsonb, status text,
                                                  version bigint, reasons jsonb, warnings jsonb, fingerprint text)`;
const groupIdsSql = 'ARRAY(SELECT jsonb_array_elements_text(r.group_ids)::uuid)';

const insertMembershipsSql = `entered AS (
  INSERT INTO memberships (workspace_id, user_id, role, group_ids, status, version, reasons, warnings, fingerprint,
                           connection_id, login_id, created_at, updated_at)
  SELECT r.workspace_id, :userId, r.role, ${groupIdsSql}, r.status, r.version, r.reasons, r.warnings, r.fingerprint,
         :connectionId, :loginId, :now, :now
    FROM used, ${recordsSql} WHERE r.is_new)`;

const updateMembershipsSql = `changed AS (
  UPDATE memberships m
     SET role = r.role, group_ids = ${groupIdsSql}, status = r.status, version = r.version, reasons = r.reasons,
         warnings = r.warnings, fingerprint = r.fingerprint, connection_id = :connectionId, login_id = :loginId, updated_at = :now
    FROM used, ${recordsSql} WHERE NOT r.is_new AND m.workspace_id = r.workspace_id AND m.user_id = :userId)`;

const updateFingerprintsSql = `kept AS (
  UPDATE memberships m SET fingerprint = h.fingerprint
    FROM used, jsonb_to_recordset(:holds::jsonb) AS h (workspace_id uuid, fingerprint text)
   WHERE m.workspace_id = h.workspace_id AND m.user_id = :userId)`;
