import type { AssertionContent, SubjectConfirmation } from './assertion-reader.ts';
import { begun, type CheckInput, notYetOver, timesOf } from './check-input.ts';

// SAML Core 2.4.1.1: one confirmation that holds in every respect is enough. Each step keeps those that hold so far.

export function bearers({ confirmations }: AssertionContent): readonly SubjectConfirmation[] {
  return confirmations.filter(({ method }) => method === 'urn:oasis:names:tc:SAML:2.0:cm:bearer');
}

export function withRecipient({ assertion, expected: { acsUrl } }: CheckInput): readonly SubjectConfirmation[] {
  return bearers(assertion).filter(({ recipient }) => recipient === acsUrl);
}

export function withInResponseTo(input: CheckInput): readonly SubjectConfirmation[] {
  return withRecipient(input).filter(({ inResponseTo }) => inResponseTo === input.expected.requestId);
}

export function confirmed(input: CheckInput): readonly SubjectConfirmation[] {
  return withInResponseTo(input).filter(
    ({ notBefore, notOnOrAfter }) =>
      notOnOrAfter !== null && notYetOver(notOnOrAfter, input) && (notBefore === null || begun(notBefore, input)),
  );
}

/** The latest time, in milliseconds since 1970, at which an assertion that passed could be presented again and pass. */
export function presentableUntil(input: CheckInput): number {
  const { notOnOrAfter } = timesOf(input.assertion.conditions);
  // Also of those that do not hold yet: they may by then.
  const confirmedUntil = Math.max(...withInResponseTo(input).map((confirmation) => confirmation.notOnOrAfter ?? 0));
  return Math.min(notOnOrAfter, confirmedUntil) + input.clockSkewMilliseconds;
}
