import { BrokerError } from '../domain/broker-error.ts';
import type { AllowedDomain, Connection } from '../domain/connection.ts';
import { emailDomain } from '../domain/email-domain.ts';
import type { FederatedIdentity, Profile } from '../domain/federated-identity.ts';
import type { LinkByEmail } from '../membership/link.ts';

/**
 * R33: a connection with allowed domains speaks for these only.
 * @throws BrokerError `not_entitled`, reason `email_domain_not_allowed`
 */
export function checkEmailDomain(allowed: readonly AllowedDomain[], { email }: Profile): void {
  if (allowed.length === 0 || allowed.some(({ domain }) => domain === emailDomain(email))) return;
  throw new BrokerError('not_entitled', "the person's e-mail domain is not among the connection's allowed ones", {
    reason: 'email_domain_not_allowed',
  });
}

/** How this login may be linked to a person who is known already; null: connection and subject alone say who it is. */
export function linkByEmailOf(
  { linking }: Connection,
  allowed: readonly AllowedDomain[],
  { email, emailVerified }: Profile,
): LinkByEmail | null {
  // Case of other letters folds differently in different places, so that two addresses might pass for one.
  if (linking !== 'verified-email' || email === null || !/^[\x21-\x7e]+$/.test(email)) return null;
  const entry = allowed.find(({ domain }) => domain === emailDomain(email));
  return entry ? { email, domain: entry.domain, vouchedFor: emailVerified || entry.verified } : null;
}

/** What an administrator needs in order to link or rebind by hand, for the trace of a refusal. */
export function refusedIdentity(
  error: BrokerError,
  identity: FederatedIdentity | null,
): { readonly subject: string; readonly issuer: string } | null {
  const resolvable = error.reason !== undefined && resolvableReasons.includes(error.reason);
  return identity && resolvable ? { subject: identity.subject, issuer: identity.issuer } : null;
}

const resolvableReasons = [
  'email_ambiguous',
  'email_linked_to_other_subject',
  'email_not_verified',
  'email_of_archived_user',
  'issuer_changed',
  'unknown_user',
];
