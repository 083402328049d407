import { hash } from 'node:crypto';

/** What the digest says of one member: who, in which state. Names and addresses are no part of it. */
export interface DigestedMember {
  readonly userId: string;
  readonly version: number;
  readonly role: string;
  readonly groupIds: readonly string[];
}

/** Names the algorithm in answers: another one would get another name. */
export const digestAlgorithm = 'sha256-sum-1' as const;

const modulus = 1n << 256n;

/**
 * The text that is hashed for a member: id, version, role and group ids on a line each, no line break at the end. Group ids are sorted,
 * each once, separated by commas. Only a role can hold a line break, and stands between lines that cannot: no two members share a text.
 */
export function digestText({ userId, version, role, groupIds }: DigestedMember): string {
  return `${userId}\n${version}\n${role}\n${[...new Set(groupIds)].sort().join(',')}`;
}

export type MemberDigest = ReturnType<typeof createMemberDigest>;

/**
 * The digest of a set of members: the SHA-256 of each one's text, read as a big-endian number, added up modulo 2^256. The order does not
 * matter, and a change costs one `remove` and one `add`, whatever the size of the set. It finds what differs by mistake; against somebody
 * who could choose ids at will a sum would be no proof, but Rollcall alone gives ids.
 */
export function createMemberDigest() {
  let sum = 0n;
  let count = 0;
  return {
    add(member: DigestedMember): void {
      sum += numberOf(member);
      count += 1;
    },
    /** Takes out what was added in exactly this state. */
    remove(member: DigestedMember): void {
      sum -= numberOf(member);
      count -= 1;
    },
    count: (): number => count,
    hex: (): string => digestHex(sum),
  };
}

/** 64 hexadecimal digits in lower case; 64 zeros for nobody. */
export function digestHex(sum: bigint): string {
  return (((sum % modulus) + modulus) % modulus).toString(16).padStart(64, '0');
}

function numberOf(member: DigestedMember): bigint {
  return BigInt(`0x${hash('sha256', digestText(member), 'hex')}`);
}
