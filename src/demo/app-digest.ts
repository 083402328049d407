import { hash } from 'node:crypto';

/** What the digest is over: an app that keeps these four things of its members can compare itself with Rollcall. */
export interface DigestedState {
  readonly userId: string;
  readonly version: number;
  readonly role: string;
  readonly groups: readonly { readonly id: string }[];
}

const modulus = 1n << 256n;

/** One member's part of the digest, after docs/webhooks.md ("Prove that you have everything"). */
export function digestPart({ userId, version, role, groups }: DigestedState): bigint {
  const groupIds = [...new Set(groups.map(({ id }) => id))].sort();
  return BigInt(`0x${hash('sha256', [userId, version, role, groupIds.join(',')].join('\n'), 'hex')}`);
}

/** The digest of active members whose parts add up to `sum`. */
export function digestOf(sum: bigint): string {
  return (((sum % modulus) + modulus) % modulus).toString(16).padStart(64, '0');
}
