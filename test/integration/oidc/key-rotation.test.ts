import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { ada, createOidcWorld, type OidcWorld } from '../../support/oidc-world.ts';

let idp: OidcIdp;
let world: OidcWorld;

beforeEach(async () => {
  idp = await startOidcIdp({ users: { ada } });
  world = createOidcWorld(idp, { jwksCooldownSeconds: 30, metadataRefreshSeconds: 600 });
});
afterEach(async () => {
  await world.close();
  await idp.stop();
});

const rejection = (reason: string) => ({ code: 'assertion_rejected', reason });

describe('the keys of an IdP', () => {
  test('are fetched once for many logins', async () => {
    await Promise.all(Array.from({ length: 10 }, () => world.login()));
    await world.login();
    expect(idp.served.jwks).toBe(1);
  });

  test('are fetched again at once after a rotation: the very next login succeeds', async () => {
    await world.login();
    idp.rotateKeys();
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
    expect(idp.served.jwks).toBe(2);
  });

  test('are fetched once after a rotation, also for many logins at once', async () => {
    await world.login();
    idp.rotateKeys();
    const identities = await Promise.all(Array.from({ length: 10 }, () => world.login()));
    expect(identities).toHaveLength(10);
    expect(idp.served.jwks).toBe(2);
  });

  test('are fetched again when a new key bears the name of the old one', async () => {
    await world.login();
    idp.rotateKeys({ sameKeyId: true });
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
    expect(idp.served.jwks).toBe(2);
  });

  test('are fetched again when the IdP names no keys at all', async () => {
    idp.behaviour.sendKeyId = false;
    await world.login();
    idp.rotateKeys();
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test('are not fetched more than once in a cool-down, however many unknown key ids come', async () => {
    await world.login();
    idp.behaviour.attack = 'unknown_kid';
    for (let i = 0; i < 20; i++) await expect(world.login()).rejects.toMatchObject(rejection('key_unknown'));
    expect(idp.served.jwks).toBe(2);
    world.clock.advance(31);
    await expect(world.login()).rejects.toMatchObject(rejection('key_unknown'));
    expect(idp.served.jwks).toBe(3);
    idp.behave();
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
    expect(idp.served.jwks).toBe(3);
  });

  test('are not fetched more than once in a cool-down for forged signatures', async () => {
    await world.login();
    idp.behaviour.attack = 'foreign_key';
    for (let i = 0; i < 10; i++) await expect(world.login()).rejects.toMatchObject(rejection('signature_invalid'));
    expect(idp.served.jwks).toBe(2);
  });

  test('that were withdrawn stop working with the next refresh', async () => {
    const connection = world.connection({ clockSkewSeconds: 3_600 });
    await world.login({ connection });
    idp.rotateKeys({ signOn: true });
    world.clock.advance(500);
    await expect(world.login({ connection })).resolves.toMatchObject({ subject: 'ada-1' });
    world.clock.advance(200);
    await expect(world.login({ connection })).rejects.toMatchObject(rejection('key_unknown'));
  });

  test('that cannot be fetched fail the login as unavailable, and are asked for again soon', async () => {
    idp.behaviour.instead = { jwks: { status: 503, body: 'down' } };
    await expect(world.login()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'http_503' });
    await expect(world.login()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'http_503' });
    expect(idp.served.jwks).toBe(1);
    idp.behave();
    world.clock.advance(6);
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test.each([
    ['no JSON', '<html>'],
    ['no list', '{"keys":{}}'],
    ['a list of other things', '{"keys":["key"]}'],
    ['far too many keys', JSON.stringify({ keys: Array.from({ length: 101 }, () => ({ kty: 'RSA' })) })],
  ])('that are %s fail the login as misconfigured', async (_, body) => {
    idp.behaviour.instead = { jwks: { status: 200, body } };
    await expect(world.login()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'jwks_invalid' });
  });

  test('may stand beside others that cannot be used', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
    idp.behaviour.otherKeys = [
      { kty: 'oct', k: 'AAAA', kid: 'secret' },
      { kty: 'EC', crv: 'P-256', x: 'broken', y: 'broken', kid: 'broken' },
      { ...other, kid: 'for-encryption', use: 'enc' },
    ];
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test('must be named when several would fit', async () => {
    idp.behaviour.otherKeys = [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })];
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
    idp.behaviour.sendKeyId = false;
    await expect(world.login()).rejects.toMatchObject(rejection('key_ambiguous'));
  });

  test('below 2048 bits are not used', async () => {
    const weak = await startOidcIdp({ users: { ada }, algorithm: 'RS256', rsaBits: 1024 });
    const weakWorld = createOidcWorld(weak);
    await expect(weakWorld.login()).rejects.toMatchObject(rejection('id_token_malformed'));
    await weakWorld.close();
    await weak.stop();
  });
});
