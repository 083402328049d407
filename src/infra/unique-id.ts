import { randomBytes, randomInt } from 'node:crypto';

/**
 * A UUID version 7 (RFC 9562 5.7): 48 bits of Unix milliseconds, then random bits, so that keys made later sort later.
 * @param now the time to embed
 */
export function uniqueId(now: Date): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now.getTime(), 0, 6);
  bytes[6] = (bytes.readUInt8(6) & 0x0f) | 0x70;
  bytes[8] = (bytes.readUInt8(8) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const lastCount = 0xfff;

/**
 * Makes ids as `uniqueId` does, of which each sorts after the one before, also within one millisecond and while the clock steps back
 * (RFC 9562 6.2, method 1: the 12 bits behind the time are a counter, which begins at random in their lower half).
 */
export function createOrderedIds(): (now: Date) => string {
  let lastMilliseconds = 0;
  let count = 0;
  return (now) => {
    const milliseconds = Math.max(now.getTime(), lastMilliseconds);
    const full = milliseconds === lastMilliseconds && count === lastCount;
    count = milliseconds === lastMilliseconds && !full ? count + 1 : randomInt(lastCount >> 1);
    lastMilliseconds = full ? milliseconds + 1 : milliseconds;
    const id = uniqueId(new Date(lastMilliseconds));
    return `${id.slice(0, 15)}${count.toString(16).padStart(3, '0')}${id.slice(18)}`;
  };
}

/** Lies before every id that `uniqueId` makes at this time or later, and after all earlier ones. */
export function firstIdOf(time: Date): string {
  const hex = time.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** Whether a value from outside has the form in which ids are written: anything else names nothing, and must not reach a uuid column. */
export function isUniqueId(value: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value);
}

/** A secret of `byteLength` random bytes (256 bits unless told), base64url. */
export function randomToken(byteLength = 32): string {
  return randomBytes(byteLength).toString('base64url');
}
