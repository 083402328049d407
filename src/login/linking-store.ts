import { BrokerError } from '../domain/broker-error.ts';
import type { OidcSettings, SamlSettings } from '../domain/connection.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { lockNewIdentity } from '../membership/login-store.ts';
import { invalidFields } from './connection-writes.ts';

/** A way in which a person signs in: what one connection calls them. */
export interface LinkedIdentity {
  readonly connectionId: string;
  readonly connection: string;
  readonly subject: string;
  readonly issuer: string;
  readonly lastLoginAt: Date | null;
  readonly createdAt: Date;
}

export interface IdentityName {
  readonly connectionId: string;
  readonly subject: string;
}

export type IdentityStore = ReturnType<typeof createIdentityStore>;

/**
 * Links between people and the subjects of IdPs (R33), as an administrator sets them where a login must not decide. Memberships stay:
 * the next login brings them in line.
 */
export function createIdentityStore(deps: {
  readonly db: Database;
  /** The SAML entityID in a metadata document. */
  readonly entityIdOf: (metadataXml: string) => string;
  readonly now: () => Date;
}) {
  const { db, now } = deps;

  /** @throws BrokerError `not_found` for an unknown user */
  async function list(userId: string): Promise<readonly LinkedIdentity[]> {
    const { rows } = await db.raw<{ rows: Record<string, unknown>[] }>(
      `SELECT i.*, c.display_name FROM identities i JOIN connections c ON c.connection_id = i.connection_id
        WHERE i.user_id = ? ORDER BY i.created_at, i.connection_id, i.subject`,
      [userId],
    );
    if (rows.length === 0) await checkUser(db, userId);
    return rows.map(identityOf);
  }

  async function found(userId: string, { connectionId, subject }: IdentityName): Promise<LinkedIdentity> {
    const identity = (await list(userId)).find((each) => each.connectionId === connectionId && each.subject === subject);
    if (!identity) throw new BrokerError('conflict', 'the identity was changed at the same moment', { reason: 'identity_moved' });
    return identity;
  }

  /** The issuer by which answers of a connection will name the subject. */
  async function issuerOf(connectionId: string): Promise<string> {
    const row = await db('connections')
      .where({ connection_id: connectionId })
      .first<{ protocol: SamlSettings | OidcSettings }>('protocol');
    if (!row) throw invalidFields([{ path: 'connection_id', message: 'there is no such connection' }]);
    const { protocol } = row;
    if (protocol.type === 'saml') return deps.entityIdOf(protocol.metadataXml);
    // OpenID Connect Discovery 4: the document stands at the issuer's address with this path appended.
    return protocol.discoveryUrl.replace(/\/\.well-known\/openid-configuration$/, '');
  }

  return {
    list,

    /**
     * Links a subject of a connection to a person; doing it again changes nothing.
     * @param link `issuer`: the connection's own unless given
     * @throws BrokerError `not_found`, `validation_failed`; `conflict`, reason `identity_taken`, while it is somebody else's
     */
    async link(userId: string, link: IdentityName & { readonly issuer: string | null }): Promise<LinkedIdentity> {
      const { connectionId, subject } = link;
      const issuer = link.issuer ?? (await issuerOf(connectionId));
      await db.transaction(async (tx) => {
        await lockNewIdentity(tx, connectionId, subject);
        await lockUser(tx, userId);
        await checkFree(tx, link, userId);
        await tx.raw(
          `INSERT INTO identities (connection_id, subject, issuer, user_id, created_at)
           VALUES (:connectionId, :subject, :issuer, :userId, :now) ON CONFLICT (connection_id, subject) DO NOTHING`,
          { connectionId, subject, issuer, userId, now: now() },
        );
      });
      return found(userId, link);
    },

    /** @throws BrokerError `not_found` */
    async unlink(userId: string, { connectionId, subject }: IdentityName): Promise<void> {
      const deleted = await db('identities').where({ user_id: userId, connection_id: connectionId, subject }).delete();
      if (deleted === 0) throw new BrokerError('not_found', 'the user has no such identity');
    },

    /**
     * Gives a subject of a connection to another person.
     * @throws BrokerError `not_found` for either person, or when the first one does not have it
     */
    async move(fromUserId: string, toUserId: string, { connectionId, subject }: IdentityName): Promise<void> {
      await db.transaction(async (tx) => {
        await lockNewIdentity(tx, connectionId, subject);
        for (const userId of [fromUserId, toUserId].sort()) await lockUser(tx, userId);
        const moved = await tx('identities')
          .where({ user_id: fromUserId, connection_id: connectionId, subject })
          .update({ user_id: toUserId });
        if (moved === 0) throw new BrokerError('not_found', 'the user has no such identity');
      });
    },

    /**
     * The IdP calls a person by another subject, or speaks as another issuer, from now on.
     * @param change `previousSubject`: may be left out where the person has one identity at the connection
     * @throws BrokerError `not_found`; `validation_failed`; `conflict`, reason `identity_taken`
     */
    async rebind(
      userId: string,
      change: IdentityName & { readonly issuer: string | null; readonly previousSubject: string | null },
    ): Promise<LinkedIdentity> {
      const { connectionId, subject, previousSubject } = change;
      const here = (await list(userId)).filter((identity) => identity.connectionId === connectionId);
      const candidates = previousSubject === null ? here : here.filter((identity) => identity.subject === previousSubject);
      const [only, ...others] = candidates;
      if (!only) throw new BrokerError('not_found', 'the user has no such identity at this connection');
      if (others.length > 0) {
        throw invalidFields([
          { path: 'previous_subject', message: 'the user has several identities there: name the one to change' },
        ]);
      }
      const issuer = change.issuer ?? (await issuerOf(connectionId));
      await db.transaction(async (tx) => {
        await lockNewIdentity(tx, connectionId, subject);
        await lockUser(tx, userId);
        if (subject !== only.subject) await checkFree(tx, change, null);
        await tx('identities')
          .where({ user_id: userId, connection_id: connectionId, subject: only.subject })
          .update({ subject, issuer });
      });
      return found(userId, change);
    },
  };
}

async function checkUser(db: Database, userId: string): Promise<void> {
  const user = await db('users').where({ user_id: userId, deleted_at: null }).first('user_id');
  if (!user) throw new BrokerError('not_found', 'there is no such user');
}

/** Whoever erases the user at the same moment comes before or after, and never in between. */
async function lockUser(tx: Transaction, userId: string): Promise<void> {
  const user = await tx('users').where({ user_id: userId, deleted_at: null }).forNoKeyUpdate().first('user_id');
  if (!user) throw new BrokerError('not_found', 'there is no such user');
}

/** @param except the person who may hold it already */
async function checkFree(tx: Transaction, { connectionId, subject }: IdentityName, except: string | null): Promise<void> {
  const taken = await tx('identities')
    .where({ connection_id: connectionId, subject })
    .first<{ user_id: string } | undefined>('user_id');
  if (!taken || taken.user_id === except) return;
  throw new BrokerError('conflict', 'this subject of the connection belongs to somebody: unlink it there first', {
    reason: 'identity_taken',
    fields: [{ path: 'subject', message: `it belongs to user ${taken.user_id}: unlink it there first` }],
  });
}

function identityOf(row: Record<string, unknown>): LinkedIdentity {
  return {
    connectionId: row.connection_id as string,
    connection: row.display_name as string,
    subject: row.subject as string,
    issuer: row.issuer as string,
    lastLoginAt: row.last_login_at as Date | null,
    createdAt: row.created_at as Date,
  };
}
