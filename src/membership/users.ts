import type { User } from '../domain/user.ts';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { userOf } from './store.ts';

export interface StoredUser extends User {
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Where a user signs in, and what was last seen there. */
export interface UserIdentity {
  readonly connectionId: string;
  readonly subject: string;
  readonly issuer: string;
  readonly lastLoginAt: Date | null;
}

export interface UserMembership {
  readonly workspaceId: string;
  readonly workspaceSlug: string;
  readonly role: string;
  readonly groups: readonly { readonly groupId: string; readonly name: string }[];
  readonly status: 'active' | 'removed';
  readonly version: number;
}

export interface UserDetail extends StoredUser {
  readonly identities: readonly UserIdentity[];
  readonly memberships: readonly UserMembership[];
}

export interface UserFilter {
  /** Beginning of the address or of the name, in any case. */
  readonly email?: string | undefined;
  readonly name?: string | undefined;
  readonly status?: User['status'] | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

export type UserStore = ReturnType<typeof createUserStore>;

/** Reads of users; deleted ones are not there. Changes go through `user-lifecycle.ts` and `apply.ts`. */
export function createUserStore({ db }: { readonly db: Database }) {
  return {
    /** Pages in the order of the ids. Indexes: users_pkey, users_by_email_prefix, users_by_name_prefix. */
    async list(filter: UserFilter): Promise<readonly StoredUser[]> {
      const { rows } = await db.raw(
        `SELECT * FROM users
          WHERE deleted_at IS NULL AND (:after::uuid IS NULL OR user_id > :after::uuid)
            AND (:status::text IS NULL OR status = :status)
            ${filter.email === undefined ? '' : 'AND lower(email) LIKE lower(:email)'}
            ${filter.name === undefined ? '' : 'AND lower(name) LIKE lower(:name)'}
          ORDER BY user_id LIMIT :limit`,
        {
          after: filter.after ?? null,
          status: filter.status ?? null,
          limit: filter.limit,
          ...(filter.email !== undefined && { email: beginningWith(filter.email) }),
          ...(filter.name !== undefined && { name: beginningWith(filter.name) }),
        },
      );
      return rows.map(storedUserOf);
    },

    /** Null: there is none, or it was deleted. */
    async get(userId: string): Promise<UserDetail | null> {
      if (!isUniqueId(userId)) return null;
      const row = await db('users').where({ user_id: userId, deleted_at: null }).first();
      if (!row) return null;
      const identities: UserIdentity[] = await db('identities')
        .where({ user_id: userId })
        .orderBy('created_at')
        .select('connection_id as connectionId', 'subject', 'issuer', 'last_login_at as lastLoginAt');
      const { rows: memberships } = await db.raw<{ rows: (UserMembership & { version: string })[] }>(
        `SELECT m.workspace_id AS "workspaceId", w.slug AS "workspaceSlug", m.role, m.status, m.version,
                coalesce((SELECT json_agg(json_build_object('groupId', g.group_id, 'name', g.name) ORDER BY g.name COLLATE "C")
                   FROM app_groups g WHERE g.workspace_id = m.workspace_id AND g.group_id = ANY (m.group_ids)), '[]') AS groups
           FROM memberships m JOIN workspaces w ON w.workspace_id = m.workspace_id
          WHERE m.user_id = ? ORDER BY m.workspace_id`,
        [userId],
      );
      return {
        ...storedUserOf(row),
        identities,
        memberships: memberships.map((membership) => ({ ...membership, version: Number(membership.version) })),
      };
    },
  };
}

/** A pattern of LIKE in which the text stands for itself. */
function beginningWith(text: string): string {
  return `${text.replace(/[\\%_]/g, '\\$&')}%`;
}

function storedUserOf(row: Record<string, unknown>): StoredUser {
  return { ...userOf(row), createdAt: row.created_at as Date, updatedAt: row.updated_at as Date };
}
