import { describe, expect, it } from 'vitest';
import { licencePublicKeys } from '../../../src/settings/licence-keys.ts';
import { createLicenceSigner } from '../../support/licence-tokens.ts';

const one = createLicenceSigner();
const two = createLicenceSigner('p256');
const both = [one.publicKey, two.publicKey];

describe('licence.publicKeys', () => {
  it.each<[string, unknown, string[]]>([
    ['an empty list', [], []],
    ['a list of PEM blocks', both, both],
    ['one text with several PEM blocks', both.join('\n'), both],
    ['a list of JWKs', [one.publicJwk, two.publicJwk], both],
    ['a JWK as text', JSON.stringify(one.publicJwk), [one.publicKey]],
    ['a list of JWKs as text', JSON.stringify([one.publicJwk, two.publicJwk]), both],
    ['a JWK Set', JSON.stringify({ keys: [{ ...one.publicJwk, kid: 'a', use: 'sig' }, two.publicJwk] }), both],
    ['a JWK Set in the file', [{ keys: [one.publicJwk] }], [one.publicKey]],
  ])('R34 takes %s', (_what, given, expected) => {
    expect(licencePublicKeys.parse(given)).toEqual(expected);
  });

  it('R34 takes what it made itself', () => {
    expect(licencePublicKeys.parse(licencePublicKeys.parse(both))).toEqual(both);
  });

  it.each<[string, unknown]>([
    ['a private key', [one.privateKey]],
    ['a private JWK', [{ ...one.publicJwk, d: 'AAAA' }]],
    ['text that is none', 'my key'],
    ['broken JSON', '{"kty":'],
    ['a PEM block that is none', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----'],
    ['a JWK of a shared secret', [{ kty: 'oct', k: 'AAAA' }]],
    ['a key on another curve', [{ kty: 'EC', crv: 'secp256k1', x: 'AAAA', y: 'AAAA' }]],
  ])('R34 refuses %s in words, and without quoting it', (_what, given) => {
    const { success, error } = licencePublicKeys.safeParse(given);
    expect(success).toBe(false);
    expect(error?.issues[0]?.message).toMatch(/^give public keys \(Ed25519 or P-256\) as PEM or JWK: /);
    expect(error?.issues[0]?.message).not.toContain('AAAA');
  });
});
