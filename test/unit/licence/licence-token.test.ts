import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createLicenceReader } from '../../../src/infra/licence-token.ts';
import { createLicenceSigner, inSeconds, type LicenceClaims } from '../../support/licence-tokens.ts';

const vendor = createLicenceSigner();
const second = createLicenceSigner('p256');
const stranger = createLicenceSigner();
const reader = createLicenceReader({ publicKeys: [vendor.publicKey, second.publicKey] });

function jws(header: object, payload: object, signature = ''): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(payload)}.${signature}`;
}
const claims = { exp: inSeconds(60), features: ['sso', 'group_sync'] };

describe('a licence token', () => {
  it.each([
    ['EdDSA', vendor],
    ['ES256', second],
  ])('R34 signed with %s by a configured key is read', async (_alg, signer) => {
    const token = await signer.sign({ exp: 2_000_000_000, features: ['sso'], maxUsers: 5, jti: 'L-1', sub: 'Acme Ltd' });
    expect(await reader.read(`${token}\n`)).toEqual({
      licenceId: 'L-1',
      holder: 'Acme Ltd',
      expiresAt: new Date(2_000_000_000_000),
      features: ['sso'],
      maxUsers: 5,
    });
  });

  it('R34 without maxUsers allows any number', async () => {
    expect(await reader.read(await vendor.sign())).toMatchObject({ maxUsers: null, licenceId: null, holder: null });
  });

  it('R34 signed by another key is refused', async () => {
    await expect(reader.read(await stranger.sign())).rejects.toMatchObject({ reason: 'licence_signature_invalid' });
  });

  it('R34 changed after signing is refused', async () => {
    const [header, , signature] = (await vendor.sign({ maxUsers: 5 })).split('.');
    const payload = Buffer.from(JSON.stringify({ ...claims, maxUsers: 500 })).toString('base64url');
    await expect(reader.read(`${header}.${payload}.${signature}`)).rejects.toMatchObject({ reason: 'licence_signature_invalid' });
  });

  it.each([
    ['no signature (alg none)', jws({ alg: 'none' }, claims)],
    [
      'the public key as a shared secret (HS256)',
      (() => {
        const unsigned = jws({ alg: 'HS256' }, claims).slice(0, -1);
        return `${unsigned}.${createHmac('sha256', vendor.publicKey).update(unsigned).digest('base64url')}`;
      })(),
    ],
    ['a critical header that nobody knows', jws({ alg: 'EdDSA', crit: ['x'], x: 1 }, claims, 'AAAA')],
    ['a key of its own in the header', jws({ alg: 'EdDSA', jwk: stranger.publicJwk }, claims, 'AAAA')],
    ['no token at all', 'hello'],
    ['nothing', ''],
    ['more than a licence can be', 'a'.repeat(20_000)],
  ])('R34 with %s is refused', async (_what, token) => {
    await expect(reader.read(token)).rejects.toMatchObject({ code: 'validation_failed' });
  });

  it.each<[string, LicenceClaims]>([
    ['no end', { exp: undefined }],
    ['an end that is no number', { exp: 'never' }],
    ['an end beyond all dates', { exp: 1e300 }],
    ['features that are no list', { features: 'sso' }],
    ['no features', { features: undefined }],
    ['a limit below zero', { maxUsers: -1 }],
    ['a limit that is no whole number', { maxUsers: 1.5 }],
    ['a limit in text', { maxUsers: '100' }],
  ])('R34 with %s is refused, however well it is signed', async (_what, wrong) => {
    await expect(reader.read(await vendor.sign(wrong))).rejects.toMatchObject({ reason: 'licence_malformed' });
  });

  it('R34 is not required while no keys are configured', () => {
    expect([createLicenceReader({ publicKeys: [] }).required, reader.required]).toEqual([false, true]);
  });
});
