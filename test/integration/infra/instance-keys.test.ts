import {
  constants,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createInstanceKeys } from '../../../src/infra/instance-keys.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(() => database.db('instance_keys').delete());

const now = () => new Date('2026-05-01T12:00:00Z');
const sealingKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const oneKey = sealingKey('k1');
const instanceKeys = (keys: readonly string[] = [oneKey]) =>
  createInstanceKeys({ db: database.db, sealedBox: createSealedBox({ keys }), now, publishSeconds: 3_600 });

const belongTogether = (privateKey: KeyObject, certificate: string) =>
  new X509Certificate(certificate).checkPrivateKey(privateKey);

describe('the key pairs of an instance', () => {
  test('are made once: a token key for each algorithm, and two SAML keys with certificates', async () => {
    const keys = instanceKeys();
    await keys.ensure();
    const first = await keys.load();
    expect(first.tokenSigning.map(({ algorithm }) => algorithm).sort()).toEqual(['ES256', 'RS256']);
    for (const { algorithm, privateKey } of first.tokenSigning) {
      expect(privateKey.asymmetricKeyDetails).toMatchObject(
        algorithm === 'ES256' ? { namedCurve: 'prime256v1' } : { modulusLength: 2048 },
      );
      const signature = sign('sha256', Buffer.from('text'), privateKey);
      expect(verify('sha256', Buffer.from('text'), createPublicKey(privateKey), signature)).toBe(true);
    }
    expect(belongTogether(first.samlSigning.privateKey, first.samlSigning.certificate)).toBe(true);
    expect(first.samlDecryption).toHaveLength(1);

    await keys.ensure();
    const second = await instanceKeys().load();
    expect(second.tokenSigning.map(({ keyId }) => keyId)).toEqual(first.tokenSigning.map(({ keyId }) => keyId));
    expect(second.samlSigning.certificate).toBe(first.samlSigning.certificate);
    expect(await database.db('instance_keys')).toHaveLength(5);
  });

  test('sign webhooks with Ed25519', async () => {
    const keys = instanceKeys();
    await keys.ensure();
    const [key, ...more] = (await keys.load()).webhookSigning;
    expect(more).toEqual([]);
    if (!key) throw new Error('no key');
    expect(key.privateKey.asymmetricKeyType).toBe('ed25519');
    expect(key.keyId).toBe(await calculateJwkThumbprint(createPublicKey(key.privateKey).export({ format: 'jwk' })));
    const signature = sign(null, Buffer.from('text'), key.privateKey);
    expect(verify(null, Buffer.from('text'), createPublicKey(key.privateKey), signature)).toBe(true);
    expect(verify(null, Buffer.from('other'), createPublicKey(key.privateKey), signature)).toBe(false);
  });

  test('are named by the thumbprint of their public key', async () => {
    const keys = instanceKeys();
    await keys.ensure();
    for (const { keyId, privateKey } of (await keys.load()).tokenSigning) {
      expect(keyId).toBe(await calculateJwkThumbprint(createPublicKey(privateKey).export({ format: 'jwk' })));
    }
  });

  test('have certificates of ten years, for one purpose each', async () => {
    const keys = instanceKeys();
    await keys.ensure();
    const { samlSigning, samlDecryption } = await keys.load();
    const signing = new X509Certificate(samlSigning.certificate);
    expect(signing.subject).toBe('CN=Rollcall SAML signing');
    expect(signing.validFromDate).toEqual(now());
    expect(signing.validToDate).toEqual(new Date('2036-04-28T12:00:00Z'));
    expect(signing.verify(signing.publicKey)).toBe(true);
    expect(signing.ca).toBe(false);
    expect(signing.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);

    const [decryption] = samlDecryption;
    if (!decryption) throw new Error('no key');
    const encryption = new X509Certificate(decryption.certificate);
    expect(encryption.fingerprint256).not.toBe(signing.fingerprint256);
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING };
    const sealed = publicEncrypt({ key: encryption.publicKey, ...padding }, Buffer.from('content key'));
    expect(privateDecrypt({ key: decryption.privateKey, ...padding }, sealed).toString()).toBe('content key');
  });

  test('are the same for replicas that start at once', async () => {
    const replicas = Array.from({ length: 4 }, () => instanceKeys());
    await Promise.all(replicas.map((replica) => replica.ensure()));
    expect(await database.db('instance_keys')).toHaveLength(5);
    const loaded = await Promise.all(replicas.map((replica) => replica.load()));
    const fingerprints = loaded.map(({ tokenSigning, samlSigning }) =>
      JSON.stringify([tokenSigning.map(({ keyId }) => keyId), samlSigning.certificate]),
    );
    expect(new Set(fingerprints).size).toBe(1);
  });

  test('lie sealed in the database, each bound to its row', async () => {
    const keys = instanceKeys();
    await keys.ensure();
    const rows: { key_id: string; sealed_private_key: string }[] = await database
      .db('instance_keys')
      .select('key_id', 'sealed_private_key');
    for (const row of rows) expect(row.sealed_private_key).toMatch(/^v1\.k1\./);
    const [one, other] = rows;
    await database.db('instance_keys').where({ key_id: one?.key_id }).update({ sealed_private_key: other?.sealed_private_key });
    await expect(keys.load()).rejects.toMatchObject({ reason: 'sealed_value_tampered' });
  });

  test('open with a rotated sealing key as long as the old one is kept', async () => {
    await instanceKeys().ensure();
    const newer = sealingKey('k2');
    await expect(instanceKeys([newer, oneKey]).load()).resolves.toMatchObject({ samlDecryption: [expect.anything()] });
    await expect(instanceKeys([newer]).load()).rejects.toMatchObject({ reason: 'sealing_key_unknown' });
  });

  test('that are retired are replaced, and no longer loaded', async () => {
    const keys = instanceKeys();
    await keys.ensure();
    const before = await keys.load();
    await database.db('instance_keys').where({ purpose: 'saml-signing' }).update({ retired_at: now() });
    await expect(keys.load()).rejects.toMatchObject({ reason: 'instance_keys_missing' });
    await keys.ensure();
    const after = await keys.load();
    expect(after.samlSigning.certificate).not.toBe(before.samlSigning.certificate);
    expect(after.tokenSigning.map(({ keyId }) => keyId)).toEqual(before.tokenSigning.map(({ keyId }) => keyId));
  });

  test('come newest first', async () => {
    const later = createInstanceKeys({
      db: database.db,
      sealedBox: createSealedBox({ keys: [oneKey] }),
      now: () => new Date('2026-06-01T12:00:00Z'),
      publishSeconds: 3_600,
    });
    await instanceKeys().ensure();
    const [old] = (await later.load()).samlDecryption;
    await database.db('instance_keys').where({ purpose: 'saml-decryption' }).update({ retired_at: now() });
    await later.ensure();
    await database.db('instance_keys').update({ retired_at: null });
    const loaded = (await later.load()).samlDecryption.map(({ certificate }) => certificate);
    expect(loaded).toHaveLength(2);
    expect(loaded[1]).toBe(old?.certificate);
  });
});
