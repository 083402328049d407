import { describe, expect, it } from 'vitest';
import { inSigningOrder } from '../../../src/infra/instance-key-kinds.ts';
import { withStates } from '../../../src/infra/instance-key-rotation.ts';

const at = (minutes: number) => new Date(Date.UTC(2026, 4, 1, 12, minutes));
const key = (keyId: string, minutes: number) => ({ keyId, createdAt: at(minutes) });
const order = (minutes: number, ...keys: ReturnType<typeof key>[]) =>
  inSigningOrder(keys, { publishSeconds: 3_600, now: at(minutes) }).map(({ keyId }) => keyId);

describe('which token key signs', () => {
  it('the newest that was published long enough', () => {
    const keys = [key('new', 120), key('old', 0)];
    expect(order(179, ...keys)).toEqual(['old', 'new']);
    expect(order(180, ...keys)).toEqual(['new', 'old']);
  });

  it('the oldest while none was: nobody knows an earlier one', () => {
    expect(order(1, key('first', 0))).toEqual(['first']);
    expect(order(20, key('second', 10), key('first', 0))).toEqual(['first', 'second']);
  });
});

describe('what a key does', () => {
  const record = (keyId: string, purpose: 'token-signing' | 'saml-signing' | 'saml-decryption', minutes: number) => ({
    ...key(keyId, minutes),
    purpose,
    algorithm: 'ES256' as const,
    retiredAt: null,
  });
  const states = (minutes: number, ...keys: ReturnType<typeof record>[]) =>
    withStates(keys, { publishSeconds: 3_600, tokenSeconds: 600, now: at(minutes) });

  it('a new token key is published, then signs; the old one is needed for as long as what it signed is good', () => {
    const keys = [record('new', 'token-signing', 120), record('old', 'token-signing', 0)];
    expect(states(121, ...keys)).toMatchObject([
      { keyId: 'new', state: 'published', signsFrom: at(180) },
      { keyId: 'old', state: 'in_use', neededUntil: null },
    ]);
    expect(states(181, ...keys)).toMatchObject([
      { keyId: 'new', state: 'in_use', signsFrom: null },
      // An hour published, two minutes until every replica follows, ten minutes of a token's life.
      { keyId: 'old', state: 'verifies', neededUntil: at(192) },
    ]);
  });

  it('a new SAML signing key waits for the old one to be retired; a new decryption key stands in the metadata at once', () => {
    expect(states(9_999, record('new', 'saml-signing', 1), record('old', 'saml-signing', 0))).toMatchObject([
      { keyId: 'new', state: 'published' },
      { keyId: 'old', state: 'in_use' },
    ]);
    expect(states(1, record('new', 'saml-decryption', 1), record('old', 'saml-decryption', 0))).toMatchObject([
      { keyId: 'new', state: 'in_use' },
      { keyId: 'old', state: 'verifies' },
    ]);
  });
});
