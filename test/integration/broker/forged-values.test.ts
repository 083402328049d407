import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectSaml } from '../../support/broker-connections.ts';
import {
  answerSaml,
  beginSamlLogin,
  logInBySaml,
  redeem,
  type SamlConnection,
  type SamlLogin,
} from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';

const victim = { nameId: 'ada', email: 'ada@customer.example', groups: ['design'] };
const attacker = { nameId: 'eve', email: 'eve@customer.example', groups: [] };

describe.skipIf(redisUrl === null)(`law 1 who can write to Redis signs in as nobody else, ${withRedis}`, () => {
  const keyPrefix = testKeyPrefix();
  let world: BrokerWorld;
  let redis: Redis;
  let saml: SamlConnection;

  beforeAll(async () => {
    const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
    redis = new Redis(redisUrl ?? '', { keyPrefix });
    world = await startBrokerWorld({ redis: { url: redisUrl ?? '', keyPrefix } });
    await world.api.workspace('acme', { design: null });
    saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  });
  afterAll(async () => {
    redis?.disconnect();
    await world?.stop();
  });

  const uidOf = ({ browser }: SamlLogin) =>
    browser.cookies.find(({ path }) => path.startsWith('/interaction/'))?.path.split('/')[2] ?? '';
  const finish = (login: SamlLogin) => login.browser.open(`${world.first.origin}/interaction/${uidOf(login)}/finish`);
  const outcomeOf = (userId: string) => ({
    kind: 'signed_in',
    userId,
    connectionId: saml.id,
    loginId: '01890a5d-ac96-774b-bcce-b302099a8057',
    authenticatedAt: new Date(),
  });

  test('an outcome that was written by hand is none, and the login goes on as it would', async () => {
    const { sub } = await logInBySaml(world, saml, victim);
    const login = await beginSamlLogin(world, saml);
    await redis.set(`outcome:${uidOf(login)}`, JSON.stringify(outcomeOf(sub)), 'EX', 60);
    const visit = await finish(login);
    expect([visit.leadsTo, visit.status]).toEqual([null, 400]);
    const own = await redeem(world, login, await answerSaml(login, saml, attacker));
    expect(own.sub).not.toBe(sub);
  });

  test('short-lived values tell nobody who signs in where', async () => {
    await beginSamlLogin(world, saml);
    const keys = await redis.keys(`${keyPrefix}*`);
    const values = await Promise.all(keys.map((key) => redis.get(key.slice(keyPrefix.length)).catch(() => '')));
    expect(keys.length).toBeGreaterThan(1);
    expect(values.join('\n')).not.toMatch(/"|https:/);
  });
});
