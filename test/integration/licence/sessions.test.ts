import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectSaml } from '../../support/broker-connections.ts';
import { answerSaml, beginLogin, beginSamlLogin, redeem, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { createLicenceSigner } from '../../support/licence-tokens.ts';

const vendor = createLicenceSigner('p256');
let world: BrokerWorld;
let connection: SamlConnection;

beforeAll(async () => {
  world = await startBrokerWorld({
    settings: {
      licence: { publicKeys: [vendor.publicKey], token: await vendor.sign() },
      login: { sessionLifetimeSeconds: 3_600 },
    },
  });
  await world.api.workspace('acme');
  const idp = await createSamlIdp({ entityId: 'https://idp.example.com', origin: 'http://127.0.0.1:1' });
  connection = await connectSaml(world, idp, { workspace: 'acme' });
});
afterAll(() => world?.stop());

it('R26 R35 a session answers in place of the IdP while the licence is valid, and not while it is not', async () => {
  const login = await beginSamlLogin(world, connection);
  const first = await redeem(world, login, await answerSaml(login, connection, { nameId: 'ada', groups: [] }));
  const again = () => beginLogin(world, { browser: login.browser, parameters: { connection: connection.id } });
  const bySession = await again();
  expect((await redeem(world, bySession, bySession.visit)).sub).toBe(first.sub);

  await world.api.put('/v1/licence', { token: await vendor.sign({ features: ['sso'] }) });
  const refused = await again();
  expect(refused.visit.leadsTo).toBeNull();
  expect(refused.visit.text).toContain('Single sign-on is not available');

  await world.api.delete('/v1/licence');
  const restored = await again();
  expect((await redeem(world, restored, restored.visit)).sub).toBe(first.sub);
});

it('R34 a licence of the environment is in force from the start, and is told of once', async () => {
  expect(await world.api.get('/v1/licence')).toMatchObject({ status: 'valid', source: 'environment' });
  await world.stores.db('events').where({ type: 'licence.changed' }).delete();
  const replica = await world.addReplica();
  await replica.stop();
  expect(await world.stores.db('events').where({ type: 'licence.changed' })).toEqual([]);
});
