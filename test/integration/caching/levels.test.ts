import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { revisionChannel } from '../../../src/login/revisions.ts';
import { answerSaml, beginSamlLogin, logInBySaml, redeem, type SamlConnection } from '../../support/broker-login.ts';
import type { Replica } from '../../support/broker-world.ts';
import { type CachingWorld, startCachingWorld, statementsOf } from '../../support/caching-world.ts';
import { redisUrl, withRedis } from '../../support/redis.ts';

const person = { nameId: 'ada', email: 'ada@customer.example', groups: ['Staff', 'design'] };

describe.skipIf(redisUrl === null)(`what logins go by, in process, Redis and Postgres, ${withRedis}`, () => {
  let caching: CachingWorld;
  let redis: Redis;
  let two: Replica;
  let acme: { readonly id: string; readonly slug: string };
  let connection: SamlConnection;

  beforeAll(async () => {
    // Nothing is read anew because of its age, so that what a test counts is what it caused.
    caching = await startCachingWorld({ redis: true, notify: true, publish: true, maxStaleSeconds: 60 });
    redis = new Redis(redisUrl ?? '');
    two = caching.two;
  });
  afterAll(async () => {
    redis?.disconnect();
    await caching?.stop();
  });
  beforeEach(async () => {
    const workspace = await caching.workspace({ design: null });
    acme = workspace;
    connection = await caching.connect(workspace);
    await caching.logInAt(caching.one, connection, person.groups);
  });

  const keyOf = (name: 'connection' | 'catalogue', id: string) => `${caching.keyPrefix}cache:${name}-1:${id}`;
  const logInAtTwo = () => caching.logInAt(two, connection, person.groups);
  const asBefore = () => [`${acme.slug}: end-user design`];

  /** How many look-ups each level answered while `act` ran at the second replica. */
  async function levelsDuring(cache: 'connection' | 'catalogue', act: () => Promise<unknown>) {
    const before = await caching.lookups(two, cache);
    await act();
    const after = await caching.lookups(two, cache);
    return Object.fromEntries(
      Object.entries(after).flatMap(([level, n]) => (n > (before[level] ?? 0) ? [[level, n - (before[level] ?? 0)]] : [])),
    );
  }

  const metadata = () => fetch(`${two.origin}/saml/${connection.id}/metadata`).then((answer) => answer.text());

  test('a replica that never saw them finds them in Redis; Postgres only says that they are current', async () => {
    const during = await levelsDuring('connection', async () => expect(await logInAtTwo()).toEqual(asBefore()));
    expect(during).toEqual({ redis: 1, process: 1 });
    expect(await levelsDuring('catalogue', logInAtTwo)).toEqual({ process: 1 });
    expect(await levelsDuring('connection', logInAtTwo)).toEqual({ process: 2 });
  });

  test('any number of requests at once look up once', async () => {
    const together = () => Promise.all(Array.from({ length: 20 }, metadata));
    const { process: _, ...cold } = await levelsDuring('connection', together);
    expect(cold).toEqual({ redis: 1 });
    await redis.del(keyOf('connection', connection.id));
    await redis.publish(`${caching.keyPrefix}${revisionChannel}`, `connection ${connection.id}`);
    await vi.waitFor(async () => {
      const { process: __, ...again } = await levelsDuring('connection', together);
      expect(again).toEqual({ postgres: 1 });
    });
  });

  test('an unchanged login with a warm cache asks Postgres nothing before the answer, and once for the sync', async () => {
    await logInAtTwo();
    caching.world.routeTo(two);
    const start = await statementsOf(two, () => beginSamlLogin(caching.world, connection));
    expect(start.statements).toEqual([]);
    const login = start.result;
    const answer = await statementsOf(two, () => answerSaml(login, connection, person));
    expect(answer.statements).toEqual([expect.stringMatching(/^WITH person AS/)]);
    expect((await redeem(caching.world, login, answer.result)).memberships).toMatchObject([{ groups: ['design'] }]);
    caching.world.routeTo(caching.one);
  });

  test('law 9 Redis holds no configuration that can be read: neither metadata nor names', async () => {
    for (const key of [keyOf('connection', connection.id), keyOf('catalogue', acme.id)]) {
      const value = (await redis.get(key)) ?? '';
      expect(value).toMatch(/^[0-9a-f-]{36} v1\.test\.[\w-]+\.[\w-]+$/);
      expect(Buffer.from(value.split('.').at(-1) ?? '', 'base64url').toString('latin1')).not.toMatch(
        /EntityDescriptor|design|idp\.example/,
      );
      expect(await redis.ttl(key)).toBeGreaterThan(0);
    }
  });

  describe('a value in Redis that is not what this instance wrote for this place is refused, and mended', () => {
    const own = () => redis.get(keyOf('connection', connection.id));
    const poisons: readonly [string, () => Promise<string>][] = [
      ['text', async () => 'nonsense'],
      ['JSON in the clear', async () => `${((await own()) ?? '').slice(0, 36)} {"connection_id":"${connection.id}"}`],
      [
        "another connection's, sealed by this instance",
        async () => {
          const other = await caching.connect(await caching.workspace());
          await caching.logInAt(caching.one, other, []);
          return (await redis.get(keyOf('connection', other.id))) ?? '';
        },
      ],
      [
        'its own, one character changed',
        async () => ((await own()) ?? '').replace(/.(.)$/, (_, last: string) => (last === 'A' ? 'BA' : `A${last}`)),
      ],
      [
        'its own, moved to the revision of another',
        async () => `01890a5d-ac96-774b-bcce-b302099a8057 ${((await own()) ?? '').split(' ')[1]}`,
      ],
    ];
    test.each(poisons)('%s', async (_, poison) => {
      await redis.set(keyOf('connection', connection.id), await poison());
      const during = await levelsDuring('connection', async () => expect(await logInAtTwo()).toEqual(asBefore()));
      expect(during).toEqual({ postgres: 1, process: 1 });
      expect(
        caching.world.lines.some(({ msg, id }) => msg === 'a cached value in Redis was refused' && id === connection.id),
      ).toBe(true);
      await redis.publish(`${caching.keyPrefix}${revisionChannel}`, `connection ${connection.id}`);
      await vi.waitFor(async () => expect(await levelsDuring('connection', metadata)).toEqual({ redis: 1 }));
    });

    test('a list in the place of a Redis string', async () => {
      await redis.del(keyOf('connection', connection.id));
      await redis.rpush(keyOf('connection', connection.id), 'x');
      expect(await logInAtTwo()).toEqual(asBefore());
    });
  });

  test('an old value that is put back into Redis is never served as new', async () => {
    const old = (await redis.get(keyOf('connection', connection.id))) ?? '';
    await caching.api.patch(`/v1/connections/${connection.id}`, { group_sync: { mapping: 'Staff -> builder' } });
    await redis.set(keyOf('connection', connection.id), old);
    const during = await levelsDuring('connection', async () => {
      expect(await logInAtTwo()).toEqual([`${acme.slug}: builder design`]);
    });
    expect(during).toEqual({ postgres: 1, process: 1 });
  });

  test('Redis flushed: the next look-up reads Postgres', async () => {
    await redis.del(keyOf('connection', connection.id), keyOf('catalogue', acme.id));
    expect(await levelsDuring('catalogue', async () => expect(await logInAtTwo()).toEqual(asBefore()))).toEqual({ postgres: 1 });
  });

  test('messages of others on the channel do nothing', async () => {
    await logInAtTwo();
    const channel = `${caching.keyPrefix}${revisionChannel}`;
    for (const message of [
      '',
      'x',
      'connection',
      `connection ${'9'.repeat(10_000)}`,
      '{"kind":"connection"}',
      `user ${connection.id}`,
    ]) {
      await redis.publish(channel, message);
    }
    await redis.publish(`other:${revisionChannel}`, `connection ${connection.id}`);
    expect(await levelsDuring('connection', logInAtTwo)).toEqual({ process: 2 });
  });

  test('law 1 a replica without Redis reads Postgres, and logins go on', async () => {
    const third = await caching.world.addReplica({ redis: { url: 'redis://127.0.0.1:9', keyPrefix: caching.keyPrefix } });
    try {
      expect(await caching.logInAt(third, connection, person.groups)).toEqual(asBefore());
      expect((await caching.lookups(third, 'connection')).postgres).toBe(1);
      expect((await logInBySaml(caching.world, connection, person)).memberships).toHaveLength(1);
    } finally {
      await third.stop();
    }
  });
});
