import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createClientStore } from '../../../src/provider/client-store.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { client, secret } from '../../support/provider-world.ts';

describe('clients of the provider', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });
  const open = () => createClientStore({ db: database.db, sealedBox, now: () => new Date() });

  it('come back as they were stored, on every replica', async () => {
    const confidential = client({ clientId: 'confidential', idTokenSignedResponseAlg: 'RS256' });
    const open1 = client({ clientId: 'public', clientSecret: null, tokenEndpointAuthMethod: 'none' });
    const store = open();
    for (const each of [confidential, open1]) {
      await store.upsert(each);
      expect(await store.find(each.clientId)).toEqual(each);
      expect(await open().find(each.clientId)).toEqual(each);
    }
  });

  it('are replaced as a whole, at once where it happens', async () => {
    const store = open();
    await store.upsert(client({ clientId: 'changing' }));
    await store.find('changing');
    const changed = client({
      clientId: 'changing',
      name: 'New name',
      clientSecret: 'n'.repeat(40),
      redirectUris: ['https://new.example.com/'],
    });
    await store.upsert(changed);
    expect(await store.find('changing')).toEqual(changed);
  });

  it('are listed by id, without their secrets', async () => {
    const store = open();
    await store.upsert(client({ clientId: 'a-first' }));
    const listed = await store.list();
    const ids = listed.map(({ clientId }) => clientId);
    expect(ids).toEqual([...ids].sort());
    expect(ids).toContain('a-first');
    expect(JSON.stringify(listed)).not.toContain(secret);
  });

  it('have sealed secrets, which open under their own client only', async () => {
    const store = open();
    await store.upsert(client({ clientId: 'victim' }));
    await store.upsert(client({ clientId: 'thief', clientSecret: 't'.repeat(40) }));
    const { rows } = await database.db.raw('SELECT * FROM oidc_clients');
    expect(JSON.stringify(rows)).not.toContain(secret);
    await database.db.raw(
      `UPDATE oidc_clients SET sealed_client_secret = (SELECT sealed_client_secret FROM oidc_clients WHERE client_id = 'thief')
        WHERE client_id = 'victim'`,
    );
    await expect(open().find('victim')).rejects.toMatchObject({ code: 'internal', reason: 'sealed_value_tampered' });
    expect(await open().find('thief')).toMatchObject({ clientSecret: 't'.repeat(40) });
  });

  it.each(['nobody', '', 'a b', "a'b", 'a\0b', '\ud800', 'x'.repeat(129), '__proto__'])('know no client %j', async (clientId) => {
    expect(await open().find(clientId)).toBeNull();
  });
});
