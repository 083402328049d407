import { BrokerError } from '../domain/broker-error.ts';
import type { Transaction } from '../infra/postgres.ts';
import type { KnownIdentity } from './login-store.ts';
import { userOf } from './store.ts';

/** R33: what lets a first login be linked to a person who is known already. */
export interface LinkByEmail {
  /** Printable ASCII. */
  readonly email: string;
  /** Its domain, which the connection is allowed to speak for. */
  readonly domain: string;
  /** The IdP verified the address, or the domain is verified as this connection's own. */
  readonly vouchedFor: boolean;
}

interface Holder extends Omit<KnownIdentity, 'issuer'> {
  /** Has an identity at this connection already, with another subject. */
  readonly here: boolean;
}

/**
 * The one person to whom a first login belongs by e-mail, locked; null: nobody, it is a new person.
 * @throws BrokerError `not_entitled` or `user_archived` with a stable reason where that is not certain; an administrator then decides
 */
export async function findLinkedPerson(
  tx: Transaction,
  login: { readonly connectionId: string; readonly issuer: string; readonly link: LinkByEmail },
): Promise<KnownIdentity | null> {
  const { connectionId, issuer, link } = login;
  // Two first logins of one person by two connections: the second waits, and finds the user that the first made.
  await tx.raw('SELECT pg_advisory_xact_lock(hashtextextended(?, 0))', [`email:${link.email.toLowerCase()}`]);
  const holder = decideLink(await findHolders(tx, connectionId, link), link);
  return holder && { issuer, user: holder.user, profileFingerprint: holder.profileFingerprint };
}

function decideLink(holders: readonly Holder[], { vouchedFor }: LinkByEmail): Holder | null {
  const [only, ...others] = holders;
  if (!only) return null;
  if (others.length > 0) throw refused('email_ambiguous', 'several people have this e-mail address');
  if (only.here) {
    const detail =
      'this e-mail address is known at this connection under another subject: changed there, or given to somebody else';
    throw refused('email_linked_to_other_subject', detail);
  }
  if (only.user.status === 'archived') {
    throw new BrokerError('user_archived', 'the person with this e-mail address is archived', {
      reason: 'email_of_archived_user',
    });
  }
  if (!vouchedFor) {
    throw refused('email_not_verified', 'the identity provider did not verify the e-mail address of a person who is known');
  }
  return only;
}

/**
 * People with this address, as far as somebody trustworthy said so: every connection by which they sign in either speaks for the
 * domain itself, or is of instance level and had the address verified. Otherwise any workspace's own IdP could put a user in place
 * whom the real person would be linked to later. Index: users_by_email.
 */
async function findHolders(tx: Transaction, connectionId: string, { email, domain }: LinkByEmail): Promise<Holder[]> {
  const { rows } = await tx.raw<{ rows: Record<string, unknown>[] }>(
    `SELECT u.*, EXISTS (SELECT FROM identities i WHERE i.user_id = u.user_id AND i.connection_id = :connectionId) AS here
       FROM users u
      WHERE lower(u.email) = lower(:email) AND u.email ~ '^[\\x21-\\x7e]+$'
        AND NOT EXISTS (
          SELECT FROM identities i JOIN connections c ON c.connection_id = i.connection_id
           WHERE i.user_id = u.user_id
             AND NOT (c.workspace_id IS NULL AND u.email_verified)
             AND NOT EXISTS (SELECT FROM connection_domains d
                              WHERE d.connection_id = i.connection_id AND d.domain = :domain AND d.status <> 'pending'))
      ORDER BY u.user_id FOR NO KEY UPDATE OF u`,
    { connectionId, email, domain },
  );
  return rows.map((row) => ({
    user: userOf(row),
    profileFingerprint: row.profile_fingerprint as string | null,
    here: row.here as boolean,
  }));
}

function refused(reason: string, detail: string): BrokerError {
  return new BrokerError('not_entitled', detail, { reason });
}
