import { BrokerError } from '../domain/broker-error.ts';
import type { GroupRef, MappingWarning, Reason } from '../domain/membership.ts';
import type { User } from '../domain/user.ts';
import type { Database } from '../infra/postgres.ts';

/** One membership as tokens and the API show it. */
export interface AccountMembership {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly role: string;
  /** Group names, in code point order. */
  readonly groups: readonly string[];
  readonly version: number;
}

export interface Account extends User {
  readonly memberships: readonly AccountMembership[];
}

export interface Member {
  readonly userId: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly userStatus: 'active' | 'archived';
  readonly role: string;
  readonly groups: readonly GroupRef[];
  readonly status: 'active' | 'removed';
  readonly version: number;
  readonly updatedAt: Date;
}

export interface Explanation {
  readonly member: Member;
  readonly reasons: readonly Reason[];
  readonly warnings: readonly MappingWarning[];
  /** The login that gave the present state; null fields after a manual edit. */
  readonly login: {
    readonly loginId: string | null;
    readonly connectionId: string | null;
    readonly connection: string | null;
    readonly at: Date;
  };
}

const groupsOfMembership = `coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name) ORDER BY g.name COLLATE "C")
  FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]')`;

export type MembershipStore = ReturnType<typeof createMembershipStore>;

/** Reads of users and memberships. Writes go through `apply.ts`, which appends their events. */
export function createMembershipStore({ db }: { readonly db: Database }) {
  return {
    /**
     * The user with the memberships that this connection serves: a customer's own IdP must not vouch for another workspace, whoever
     * the user is there. One statement; null if there is no such user or the user is archived.
     */
    async loadAccount(account: { readonly userId: string; readonly connectionId: string }): Promise<Account | null> {
      const { rows } = await db.raw(
        `SELECT u.*, coalesce((
           SELECT json_agg(json_build_object('workspaceId', m.workspace_id, 'workspaceSlug', w.slug, 'role', m.role,
                                             'version', m.version, 'groups', ARRAY(
                    SELECT g.name FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)
                     ORDER BY g.name COLLATE "C")) ORDER BY w.slug COLLATE "C")
             FROM memberships m JOIN workspaces w ON w.workspace_id = m.workspace_id
            WHERE m.user_id = u.user_id AND m.status = 'active' AND w.status = 'active'
              AND (m.workspace_id = c.workspace_id OR EXISTS (
                     SELECT FROM connection_workspaces s
                      WHERE s.workspace_id = m.workspace_id AND s.connection_id = c.connection_id))), '[]') AS memberships
           FROM users u JOIN connections c ON c.connection_id = :connectionId
          WHERE u.user_id = :userId AND u.status = 'active'`,
        { userId: account.userId, connectionId: account.connectionId },
      );
      const row = rows[0];
      return row ? { ...userOf(row), memberships: row.memberships } : null;
    },

    /** @throws BrokerError `not_found` */
    async explain(workspaceId: string, userId: string): Promise<Explanation> {
      const { rows } = await db.raw(
        `SELECT m.*, ${groupsOfMembership} AS groups, u.email, u.name AS user_name, u.status AS user_status, c.display_name
           FROM memberships m JOIN users u ON u.user_id = m.user_id LEFT JOIN connections c ON c.connection_id = m.connection_id
          WHERE m.workspace_id = ? AND m.user_id = ?`,
        [workspaceId, userId],
      );
      const row = rows[0];
      if (!row) throw new BrokerError('not_found', 'the workspace has no such member');
      return {
        member: memberOf(row),
        reasons: row.reasons,
        warnings: row.warnings,
        login: { loginId: row.login_id, connectionId: row.connection_id, connection: row.display_name, at: row.updated_at },
      };
    },

    /** Members in order of their user id, after `after`. */
    async list(workspaceId: string, page: { readonly after: string | null; readonly limit: number }): Promise<readonly Member[]> {
      const { rows } = await db.raw(
        `SELECT m.*, ${groupsOfMembership} AS groups, u.email, u.name AS user_name, u.status AS user_status
           FROM memberships m JOIN users u ON u.user_id = m.user_id
          WHERE m.workspace_id = :workspaceId AND (:after::uuid IS NULL OR m.user_id > :after) ORDER BY m.user_id LIMIT :limit`,
        { workspaceId, ...page },
      );
      return rows.map(memberOf);
    },
  };
}

function memberOf(row: Record<string, unknown>): Member {
  return {
    userId: row.user_id as string,
    email: row.email as string | null,
    name: row.user_name as string | null,
    userStatus: row.user_status as Member['userStatus'],
    role: row.role as string,
    groups: row.groups as Member['groups'],
    status: row.status as Member['status'],
    version: Number(row.version),
    updatedAt: row.updated_at as Date,
  };
}

/** A row of `users` as the domain names it. */
export function userOf(row: Record<string, unknown>): User {
  return {
    userId: row.user_id as string,
    status: row.status as User['status'],
    email: row.email as string | null,
    emailVerified: row.email_verified as boolean,
    name: row.name as string | null,
    givenName: row.given_name as string | null,
    familyName: row.family_name as string | null,
  };
}
