import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import type { StoredMembership } from './decision.ts';
import { groupsOfMembership, type KnownIdentity, knownOf } from './login-store.ts';

/** A membership with what a write needs to know whether it is still the same row. */
export interface HeldMembership extends StoredMembership {
  /** The connection it came by. */
  readonly connectionId: string | null;
  readonly rowVersion: string;
}

export interface ServedWorkspace {
  /** R12: false while sync is off at the connection. */
  readonly syncEnabled: boolean;
  readonly membership: HeldMembership | null;
}

/** What is stored about one login's person and connection, all of one moment. */
export interface LoginState {
  /** Null: there is no such connection. */
  readonly connection: { readonly version: number; readonly enabled: boolean } | null;
  /** Null: nobody is known by the subject. */
  readonly known: KnownIdentity | null;
  /**
   * The workspaces among those asked for that the connection serves, by id. A login's view of its connection may be seconds old: what
   * was removed, disabled or archived meanwhile must not be granted again.
   */
  readonly served: ReadonlyMap<string, ServedWorkspace>;
}

/**
 * Reads it in one statement. `xmin` tells each version of a row from every other, whoever wrote it and whatever else they left as it was.
 * @param of `userId`: the person, where known already; null: whoever the subject belongs to. Indexes: primary keys
 */
export async function readLoginState(
  db: Database | Transaction,
  of: {
    readonly connectionId: string;
    readonly identity: Pick<FederatedIdentity, 'subject' | 'issuer'>;
    readonly userId: string | null;
    readonly workspaceIds: readonly string[];
  },
): Promise<LoginState> {
  const { rows } = await db.raw(
    `SELECT c.version AS connection_version, c.enabled AS connection_enabled, i.issuer, u.*, (
       SELECT json_agg(json_build_object(
         'syncEnabled', c.syncs,
         'membership', CASE WHEN m.user_id IS NOT NULL THEN json_build_object(
           'workspaceId', m.workspace_id, 'userId', m.user_id, 'role', m.role, 'status', m.status, 'version', m.version,
           'reasons', m.reasons, 'groups', ${groupsOfMembership}, 'connectionId', m.connection_id, 'rowVersion', m.xmin::text) END,
         'workspaceId', w.workspace_id))
         FROM workspaces w
         LEFT JOIN connection_workspaces s ON s.workspace_id = w.workspace_id AND s.connection_id = c.connection_id
         LEFT JOIN memberships m ON m.workspace_id = w.workspace_id AND m.user_id = u.user_id
        WHERE w.workspace_id = ANY (:workspaceIds::uuid[]) AND w.status = 'active'
          AND (c.workspace_id = w.workspace_id OR (s.enabled AND (c.syncs OR s.is_default)))) AS served
       FROM (SELECT *, coalesce((group_sync->>'enabled')::boolean, true) AS syncs FROM connections) c
       LEFT JOIN identities i ON i.connection_id = c.connection_id AND i.subject = :subject
       LEFT JOIN users u ON u.user_id = coalesce(:userId::uuid, i.user_id)
      WHERE c.connection_id = :connectionId`,
    {
      connectionId: of.connectionId,
      subject: of.identity.subject,
      userId: of.userId,
      workspaceIds: [...of.workspaceIds],
    },
  );
  const row = rows[0];
  if (!row) return { connection: null, known: null, served: new Map() };
  const served: (ServedWorkspace & { workspaceId: string })[] = row.served ?? [];
  return {
    connection: { version: Number(row.connection_version), enabled: row.connection_enabled },
    known: row.user_id === null ? null : knownOf({ ...row, issuer: row.issuer ?? of.identity.issuer }),
    served: new Map(served.map(({ workspaceId, ...workspace }) => [workspaceId, workspace])),
  };
}
