import { randomBytes, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createInstanceKeyRotation } from '../../../src/infra/instance-key-rotation.ts';
import { createInstanceKeyWatch } from '../../../src/infra/instance-key-watch.ts';
import { createInstanceKeys, type InstanceKeySet } from '../../../src/infra/instance-keys.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { quietLog } from '../../support/quiet-log.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

let minutes = 0;
const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });
const now = () => new Date(Date.UTC(2026, 4, 1, 12, minutes));
const deps = () => ({ db: database.db, sealedBox, now, publishSeconds: 3_600, tokenSeconds: 600 });
const keys = () => createInstanceKeys(deps());
const rotation = () => createInstanceKeyRotation(deps());

beforeEach(async () => {
  minutes = 0;
  await database.db('instance_keys').delete();
  await keys().ensure();
});

const tokenKeys = ({ tokenSigning }: InstanceKeySet) =>
  tokenSigning.filter(({ algorithm }) => algorithm === 'ES256').map(({ keyId }) => keyId);
const oldKey = async (purpose: string) => {
  const found = (await rotation().list()).findLast((key) => key.purpose === purpose && key.state !== 'retired');
  if (!found) throw new Error('no key');
  return found.keyId;
};

describe('a rotation', () => {
  it('of token keys publishes the new one of each algorithm for an hour before it signs, and keeps the old ones', async () => {
    minutes = 600;
    const before = tokenKeys(await keys().load());
    const made = await rotation().rotate('token-signing');
    expect(made.map(({ algorithm, state }) => [algorithm, state]).sort()).toEqual([
      ['ES256', 'published'],
      ['RS256', 'published'],
    ]);
    const published = tokenKeys(await keys().load());
    expect(published).toHaveLength(2);
    expect(published[0]).toBe(before[0]);
    minutes += 60;
    expect(tokenKeys(await keys().load())).toEqual(published.toReversed());
  });

  it('of SAML signing keys shows the new certificate and signs with the old key until that is retired', async () => {
    const { samlSigning } = await keys().load();
    minutes = 10;
    await rotation().rotate('saml-signing');
    const during = await keys().load();
    expect(during.samlSigning.certificate).toBe(samlSigning.certificate);
    expect(during.samlSigningNext).toHaveLength(1);
    await rotation().retire(await oldKey('saml-signing'), { force: false });
    const after = await keys().load();
    expect(after.samlSigning.certificate).toBe(during.samlSigningNext[0]);
    expect(after.samlSigningNext).toEqual([]);
    expect(new X509Certificate(after.samlSigning.certificate).checkPrivateKey(after.samlSigning.privateKey)).toBe(true);
  });

  it.each(['saml-decryption', 'webhook-signing'] as const)('of %s puts the new key in front of the old one', async (purpose) => {
    const of = (set: InstanceKeySet) =>
      purpose === 'webhook-signing'
        ? set.webhookSigning.map(({ keyId }) => keyId)
        : set.samlDecryption.map((key) => key.certificate);
    const [old] = of(await keys().load());
    minutes = 10;
    await rotation().rotate(purpose);
    const during = of(await keys().load());
    expect(during).toHaveLength(2);
    expect(during[1]).toBe(old);
    await rotation().retire(await oldKey(purpose), { force: false });
    expect(of(await keys().load())).toEqual([during[0]]);
  });

  it('is refused while another one is under way', async () => {
    minutes = 10;
    await rotation().rotate('webhook-signing');
    await expect(rotation().rotate('webhook-signing')).rejects.toMatchObject({ reason: 'rotation_under_way' });
    await rotation().retire(await oldKey('webhook-signing'), { force: false });
    await expect(rotation().rotate('webhook-signing')).resolves.toHaveLength(1);
  });

  it('begun by two at once happens once', async () => {
    minutes = 10;
    const both = await Promise.allSettled([rotation().rotate('webhook-signing'), rotation().rotate('webhook-signing')]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('retiring', () => {
  it('refuses the last key of its kind, and one that does not exist', async () => {
    await expect(rotation().retire(await oldKey('saml-signing'), { force: true })).rejects.toMatchObject({ reason: 'last_key' });
    await expect(rotation().retire('nothing', { force: true })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('refuses a token key while it signs and while its tokens are good, then takes it', async () => {
    minutes = 600;
    const old = await oldKey('token-signing');
    await rotation().rotate('token-signing');
    await expect(rotation().retire(old, { force: false })).rejects.toMatchObject({ reason: 'key_needed' });
    minutes += 71;
    await expect(rotation().retire(old, { force: false })).rejects.toMatchObject({ reason: 'key_needed' });
    minutes += 1;
    await expect(rotation().retire(old, { force: false })).resolves.toMatchObject({ state: 'retired' });
    expect((await keys().load()).tokenSigning.map(({ keyId }) => keyId)).not.toContain(old);
  });

  it('by force takes a leaked key at once, and the new one signs', async () => {
    minutes = 600;
    const [old] = tokenKeys(await keys().load());
    const made = await rotation().rotate('token-signing');
    await rotation().retire(old as string, { force: true });
    const [signing] = tokenKeys(await keys().load());
    expect(made.map(({ keyId }) => keyId)).toContain(signing);
  });
});

describe('a running process', () => {
  it('follows a rotation, also the moment at which the new key begins to sign, and keeps its keys while they cannot be read', async () => {
    minutes = 600;
    const first = await keys().load();
    const seen: string[][] = [];
    let fails = false;
    const watch = createInstanceKeyWatch({
      load: () => (fails ? Promise.reject(new Error('away')) : keys().load()),
      first,
      refreshSeconds: 3_600,
      onChange: (set) => seen.push(tokenKeys(set)),
      log: quietLog,
    });
    await watch.check();
    expect(seen).toEqual([]);
    await rotation().rotate('token-signing');
    await watch.check();
    minutes += 60;
    await watch.check();
    await watch.check();
    const [old] = tokenKeys(first);
    expect(seen).toHaveLength(2);
    expect(seen[0]?.[0]).toBe(old);
    expect(seen[1]?.[1]).toBe(old);
    fails = true;
    await expect(watch.check()).rejects.toThrow('away');
    expect(tokenKeys(watch.current())).toEqual(seen[1]);
  });
});
