import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BrokerError } from '../../../src/domain/broker-error.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';

const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const [old, current] = [key('2024'), key('2025')];
const box = createSealedBox({ keys: [current, old] });
const context = 'connection/42/client-secret';

function reasonOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    return (error as BrokerError).reason;
  }
  return 'nothing thrown';
}

describe('a sealed value', () => {
  test('opens under the context it was sealed for', () => {
    expect(box.open(box.seal('s3cret', context), context)).toBe('s3cret');
  });

  test('opens whatever the text and the context are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (plain, where) => {
        expect(box.open(box.seal(plain, where), where)).toBe(plain);
      }),
    );
  });

  test('names the version and the key, and carries nothing in the clear', () => {
    const sealed = box.seal('s3cret', context);
    expect(sealed).toMatch(/^v1\.2025\.[\w-]{16}\.[\w-]+$/);
    expect(sealed).not.toContain('s3cret');
    expect(Buffer.from(sealed.split('.')[3] ?? '', 'base64url').toString('latin1')).not.toContain('s3cret');
  });

  test('is another one each time', () => {
    expect(new Set(Array.from({ length: 100 }, () => box.seal('s3cret', context))).size).toBe(100);
  });
});

describe('rotation', () => {
  test('values sealed with an older key open while it is kept', () => {
    const sealed = createSealedBox({ keys: [old] }).seal('s3cret', context);
    expect(box.open(sealed, context)).toBe('s3cret');
  });

  test('a value whose key is gone is refused with the key id and the setting', () => {
    const sealed = createSealedBox({ keys: [old] }).seal('s3cret', context);
    const without = createSealedBox({ keys: [current] });
    expect(reasonOf(() => without.open(sealed, context))).toBe('sealing_key_unknown');
    expect(() => without.open(sealed, context)).toThrow(/"2024".*ROLLCALL_SEALING_KEYS/);
  });
});

describe('attacks', () => {
  const sealed = box.seal('s3cret', context);
  const [version, keyId, nonce = '', body = ''] = sealed.split('.');
  const flip = (text: string, at: number) => {
    const bytes = Buffer.from(text, 'base64url');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes.toString('base64url');
  };
  const bodyLength = Buffer.from(body, 'base64url').length;

  test('a value moved to another place does not open', () => {
    expect(reasonOf(() => box.open(sealed, 'connection/43/client-secret'))).toBe('sealed_value_tampered');
    expect(reasonOf(() => box.open(sealed, ''))).toBe('sealed_value_tampered');
  });

  test('a flipped bit anywhere does not open', () => {
    for (let at = 0; at < 12; at += 1) {
      expect(reasonOf(() => box.open([version, keyId, flip(nonce, at), body].join('.'), context))).toBe('sealed_value_tampered');
    }
    for (let at = 0; at < bodyLength; at += 1) {
      expect(reasonOf(() => box.open([version, keyId, nonce, flip(body, at)].join('.'), context))).toBe('sealed_value_tampered');
    }
  });

  test('a value relabelled with another known key does not open', () => {
    expect(reasonOf(() => box.open([version, '2024', nonce, body].join('.'), context))).toBe('sealed_value_tampered');
  });

  test('a key with the right id and other bytes does not open', () => {
    expect(reasonOf(() => createSealedBox({ keys: [key('2025')] }).open(sealed, context))).toBe('sealed_value_tampered');
  });

  test('a shortened tag is refused, not compared in part', () => {
    const short = Buffer.from(body, 'base64url')
      .subarray(0, bodyLength - 4)
      .toString('base64url');
    expect(reasonOf(() => box.open([version, keyId, nonce, short].join('.'), context))).toBe('sealed_value_tampered');
    const tagOnly = Buffer.from(body, 'base64url').subarray(0, 12).toString('base64url');
    expect(reasonOf(() => box.open([version, keyId, nonce, tagOnly].join('.'), context))).toBe('sealed_value_malformed');
  });

  test.each([
    ['nothing', ''],
    ['plain text', 's3cret'],
    ['another version', `v2.${keyId}.${nonce}.${body}`],
    ['a part too few', `v1.${keyId}.${nonce}`],
    ['a part too many', `${sealed}.x`],
    ['standard base64 in place of base64url', `v1.${keyId}.${nonce}.${body}==`],
    ['letters that the decoder would pass over', `v1.${keyId}.${nonce}.${body}!`],
    ['a nonce too short', `v1.${keyId}.${Buffer.alloc(8).toString('base64url')}.${body}`],
  ])('%s is refused as malformed', (_, text) => {
    expect(reasonOf(() => box.open(text, context))).toBe('sealed_value_malformed');
  });

  test('no error repeats the value', () => {
    expect(() => box.open(sealed, 'elsewhere')).toThrow(expect.objectContaining({ message: expect.not.stringContaining(body) }));
  });
});

describe('keys', () => {
  test.each([
    ['none', []],
    ['without an id', [randomBytes(32).toString('base64')]],
    ['with a dot in the id', [`a.b:${randomBytes(32).toString('base64')}`]],
    ['too short', [`a:${randomBytes(16).toString('base64')}`]],
    ['too long', [`a:${randomBytes(48).toString('base64')}`]],
    ['of the same id', [key('a'), key('a')]],
  ])('%s are refused', (_, keys) => {
    expect(reasonOf(() => createSealedBox({ keys }))).toBe('sealing_keys');
  });

  test('of 32 bytes in base64 or base64url are accepted', () => {
    const bytes = Buffer.alloc(32, 0xfb);
    const sealed = createSealedBox({ keys: [`a:${bytes.toString('base64')}`] }).seal('x', '');
    expect(createSealedBox({ keys: [`a:${bytes.toString('base64url')}`] }).open(sealed, '')).toBe('x');
  });
});
