import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBrokerApi } from '../../support/broker-api.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { errorPageIn } from '../../support/broker-evidence.ts';
import { beginLogin, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, type Replica, startBrokerWorld } from '../../support/broker-world.ts';
import { createLicenceSigner } from '../../support/licence-tokens.ts';
import { redisUrl, testKeyPrefix, withRedis } from '../../support/redis.ts';

const stores = [
  { title: `with Redis, ${withRedis}`, redis: true },
  { title: 'without Redis', redis: false },
];

describe.each(stores)('on two replicas $title', ({ redis }) => {
  describe.skipIf(redis && redisUrl === null)('within two seconds', () => {
    const vendor = createLicenceSigner();
    let world: BrokerWorld;
    let connection: SamlConnection;
    let replicas: readonly [Replica, Replica];

    beforeAll(async () => {
      world = await startBrokerWorld({
        settings: { licence: { publicKeys: [vendor.publicKey] } },
        ...(redis && { redis: { url: redisUrl ?? '', keyPrefix: testKeyPrefix() } }),
      });
      replicas = [world.first, await world.addReplica()];
      await world.api.put('/v1/licence', { token: await vendor.sign() });
      await world.api.workspace('acme');
      const idp = await createSamlIdp({ entityId: 'https://idp.example.com', origin: 'http://127.0.0.1:1' });
      connection = await connectSaml(world, idp, { workspace: 'acme' });
    });
    afterAll(() => world?.stop());

    const pairs = [
      ['the first', 'the second', 0, 1],
      ['the second', 'the first', 1, 0],
    ] as const;

    /** Null: the browser left for the IdP. */
    async function startAt(replica: Replica): Promise<string | null> {
      world.routeTo(replica);
      const { visit } = await beginLogin(world, { parameters: { connection: connection.id } });
      return visit.leadsTo === null ? errorPageIn(visit).title : null;
    }

    test.each(pairs)('R34 R35 a licence set at %s replica counts at both', async (_, __, here, there) => {
      const set = async (claims: object) => {
        world.routeTo(replicas[here]);
        await world.api.put('/v1/licence', { token: await vendor.sign(claims) });
      };
      await set({ features: ['group_sync'] });
      expect(await startAt(replicas[here])).not.toBeNull();
      await sleep(2_000);
      expect(await startAt(replicas[there])).not.toBeNull();
      await set({});
      expect(await startAt(replicas[here])).toBeNull();
      await sleep(2_000);
      expect(await startAt(replicas[there])).toBeNull();
    });

    test.each(pairs)('an API key that is revoked at %s replica is refused by %s at once', async (_, __, here, there) => {
      world.routeTo(replicas[here]);
      const made = await world.api.post<{ key: string; key_id: string }>('/v1/api-keys', {
        name: 'to revoke',
        scope: 'instance',
      });
      const holder = createBrokerApi({ publicUrl: world.publicUrl, send: world.send, apiKey: made.key });
      const statusAt = async (replica: Replica) => {
        world.routeTo(replica);
        return (await holder.call('GET', '/v1/workspaces')).status;
      };
      expect([await statusAt(replicas[here]), await statusAt(replicas[there])]).toEqual([200, 200]);
      world.routeTo(replicas[here]);
      await world.api.delete(`/v1/api-keys/${made.key_id}`);
      expect([await statusAt(replicas[there]), await statusAt(replicas[here])]).toEqual([401, 401]);
    });

    test('an API key that is rotated without overlap is refused by the other at once, and the new one taken', async () => {
      world.routeTo(replicas[0]);
      const made = await world.api.post<{ key: string; key_id: string }>('/v1/api-keys', {
        name: 'to rotate',
        scope: 'instance',
      });
      const rotated = await world.api.post<{ key: string }>(`/v1/api-keys/${made.key_id}/rotate`, { overlap_seconds: 0 });
      world.routeTo(replicas[1]);
      const statusOf = async (apiKey: string) =>
        (await createBrokerApi({ publicUrl: world.publicUrl, send: world.send, apiKey }).call('GET', '/v1/workspaces')).status;
      expect([await statusOf(made.key), await statusOf(rotated.key)]).toEqual([401, 200]);
    });
  });
});
