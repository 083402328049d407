import { BrokerError } from '../domain/broker-error.ts';
import type { FederatedIdentity } from '../domain/federated-identity.ts';
import type { Transaction } from '../infra/postgres.ts';
import { findLinkedPerson, type LinkByEmail } from './link.ts';
import { type KnownIdentity, lockIdentity, lockNewIdentity } from './login-store.ts';

/**
 * The person that this identity belongs to, locked; null: a first login that may make one. `linked`: found by e-mail (R33).
 * @throws BrokerError `not_entitled`, `user_archived`
 */
export async function findPerson(
  tx: Transaction,
  login: {
    readonly connectionId: string;
    readonly identity: Pick<FederatedIdentity, 'subject' | 'issuer'>;
    readonly justInTimeProvisioning: boolean;
    readonly link?: LinkByEmail | null;
  },
): Promise<{ readonly known: KnownIdentity | null; readonly linked: boolean }> {
  const { connectionId, identity, justInTimeProvisioning, link = null } = login;
  let known = await lockIdentity(tx, connectionId, identity.subject);
  if (!known) {
    await lockNewIdentity(tx, connectionId, identity.subject);
    known = await lockIdentity(tx, connectionId, identity.subject);
  }
  const linked = known || !link ? null : await findLinkedPerson(tx, { connectionId, issuer: identity.issuer, link });
  if (linked) return { known: linked, linked: true };
  if (!known && !justInTimeProvisioning) {
    throw new BrokerError('not_entitled', 'the user is not known and the connection does not provision users (R31)', {
      reason: 'unknown_user',
    });
  }
  // R33: the same subject of another issuer is another person; whoever swaps a connection's IdP must not inherit its users.
  if (known && known.issuer !== identity.issuer) {
    throw new BrokerError('not_entitled', 'the connection now speaks for another issuer than the one this user is known by', {
      reason: 'issuer_changed',
    });
  }
  if (known?.user.status === 'archived') throw new BrokerError('user_archived', 'archived users cannot log in (R32)');
  return { known, linked: false };
}
