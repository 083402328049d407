import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ProblemBody } from '../../support/broker-api.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { logInBySaml } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { createLicenceSigner } from '../../support/licence-tokens.ts';

let world: BrokerWorld;

beforeAll(async () => {
  world = await startBrokerWorld();
});
afterAll(() => world?.stop());

it('R34 everything is allowed while no keys are configured, and nothing can be set that nobody could check', async () => {
  await world.api.workspace('acme');
  const idp = await createSamlIdp({ entityId: 'https://idp.example.com', origin: 'http://127.0.0.1:1' });
  const connection = await connectSaml(world, idp, { workspace: 'acme' });
  expect((await logInBySaml(world, connection, { nameId: 'ada', groups: ['admin'] })).memberships).toMatchObject([
    { role: 'admin' },
  ]);
  const refused = await world.api.call<ProblemBody>('PUT', '/v1/licence', { token: await createLicenceSigner().sign() });
  expect([refused.status, refused.body.reason]).toEqual([409, 'licence_not_required']);
  await world.api.delete('/v1/licence');
  expect(await world.api.get('/v1/licence')).toMatchObject({ status: 'not_required', max_users: null, active_users: 1 });
  expect((await logInBySaml(world, connection, { nameId: 'bob', groups: [] })).memberships).toHaveLength(1);
});
