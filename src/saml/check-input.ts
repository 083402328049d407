import type { AssertionContent, Conditions, ResponseShell } from './assertion-reader.ts';
import { rejected } from './rejection.ts';

/** What a check looks at: the message, and what this login expects of it. */
export interface CheckInput {
  /** In an unsigned Response nobody vouches for these; they are held against what is expected and then forgotten. */
  readonly response: ResponseShell;
  readonly responseSigned: boolean;
  readonly assertion: AssertionContent;
  readonly expected: {
    readonly idpEntityId: string;
    readonly spEntityId: string;
    readonly acsUrl: string;
    readonly requestId: string;
  };
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly clockSkewMilliseconds: number;
}

/** The times that the policy asks for, although the schema does not: an assertion without an end could be used for ever. */
export function timesOf(conditions: Conditions | null): { readonly notBefore: number; readonly notOnOrAfter: number } {
  if (conditions === null) throw rejected('conditions_missing', 'the assertion has no Conditions');
  const { notBefore, notOnOrAfter } = conditions;
  if (notBefore === null || notOnOrAfter === null)
    throw rejected('conditions_times_missing', 'Conditions must have NotBefore and NotOnOrAfter');
  return { notBefore, notOnOrAfter };
}

export function begun(notBefore: number, { now, clockSkewMilliseconds }: CheckInput): boolean {
  return now + clockSkewMilliseconds >= notBefore;
}

export function notYetOver(notOnOrAfter: number, { now, clockSkewMilliseconds }: CheckInput): boolean {
  return now - clockSkewMilliseconds < notOnOrAfter;
}
