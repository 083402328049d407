import { describe, expect, it } from 'vitest';
import { createCookieSigner } from '../../../src/provider/cookie-signer.ts';

const key = (byte: number) => `k${byte}:${Buffer.alloc(32, byte).toString('base64')}`;

describe('cookie signer', () => {
  const signer = createCookieSigner([key(1)]);
  const data = 'rollcall-interaction=abc';

  it('accepts its own signature, and no changed data or signature', () => {
    const signature = signer.sign(data);
    expect(signature).toMatch(/^[\w-]{43}$/);
    expect(signer.verify(data, signature)).toBe(true);
    expect(signer.verify(`${data}d`, signature)).toBe(false);
    expect(signer.verify('rollcall-resume=abc', signature)).toBe(false);
    for (const forged of ['', signature.slice(1), `${signature}A`, signature.toUpperCase(), 'ü'.repeat(43)]) {
      expect(signer.verify(data, forged)).toBe(false);
      expect(signer.index(data, forged)).toBe(-1);
    }
  });

  it('signs by the first key and verifies by all, so that keys can be changed', () => {
    const old = createCookieSigner([key(1)]);
    const both = createCookieSigner([key(2), key(1)]);
    const fresh = createCookieSigner([key(2)]);
    expect(both.verify(data, old.sign(data))).toBe(true);
    expect(fresh.verify(data, both.sign(data))).toBe(true);
    expect(fresh.verify(data, old.sign(data))).toBe(false);
  });

  it('never makes the cookie library write a second signature cookie', () => {
    const both = createCookieSigner([key(2), key(1)]);
    expect(both.index(data, createCookieSigner([key(1)]).sign(data))).toBe(0);
  });

  it.each([
    ['no key', []],
    ['a short key', ['k1:AAAA']],
    ['a key without id', [Buffer.alloc(31, 1).toString('base64')]],
    ['a long key', [`k1:${Buffer.alloc(33, 1).toString('base64')}`]],
  ])('refuses %s', (_name, keys) => {
    expect(() => createCookieSigner(keys)).toThrow(TypeError);
    expect(() => createCookieSigner([`k1:${Buffer.alloc(32, 1).toString('base64url')}`])).not.toThrow();
  });
});
