import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type CachingWorld, startCachingWorld, type Ways } from '../../support/caching-world.ts';
import { redisUrl, withRedis } from '../../support/redis.ts';

/** A change that the first replica makes, and what logins at the second one show before and after it. */
interface Change {
  readonly title: string;
  prepare(world: CachingWorld): Promise<{ act(): Promise<unknown>; look(): Promise<unknown>; before: unknown; after: unknown }>;
}

const staff = ['Staff', 'design'];
const switchedOff = 'This way to sign in is switched off';

const changes: readonly Change[] = [
  {
    title: 'a mapping',
    async prepare({ api, workspace, connect, logInAt, two }) {
      const acme = await workspace();
      const connection = await connect(acme);
      return {
        act: () => api.patch(`/v1/connections/${connection.id}`, { group_sync: { mapping: 'Staff -> builder' } }),
        look: () => logInAt(two, connection, staff),
        before: [`${acme.slug}: end-user`],
        after: [`${acme.slug}: builder`],
      };
    },
  },
  {
    title: 'a catalogue',
    async prepare({ api, workspace, connect, logInAt, two }) {
      const acme = await workspace();
      const connection = await connect(acme);
      const groups = [{ name: 'design', requires_role: null }];
      return {
        act: () => api.put(`/v1/workspaces/${acme.id}/app-groups`, { groups }),
        look: () => logInAt(two, connection, staff),
        before: [`${acme.slug}: end-user`],
        after: [`${acme.slug}: end-user design`],
      };
    },
  },
  {
    title: 'an override on a sync list',
    async prepare({ api, workspace, instanceConnection, logInAt, two }) {
      const [acme, globex] = [await workspace(), await workspace()];
      const connection = await instanceConnection([acme, globex]);
      return {
        act: () => api.patch(`/v1/connections/${connection.id}/workspaces/${globex.id}`, { mapping: 'Staff -> admin' }),
        look: () => logInAt(two, connection, staff),
        before: [`${acme.slug}: end-user`, `${globex.slug}: end-user`],
        after: [`${acme.slug}: end-user`, `${globex.slug}: admin`],
      };
    },
  },
  {
    title: 'a workspace that a sync list gets',
    async prepare({ api, workspace, instanceConnection, logInAt, two }) {
      const [acme, globex] = [await workspace(), await workspace()];
      const connection = await instanceConnection([acme]);
      return {
        act: () => api.post(`/v1/connections/${connection.id}/workspaces`, { workspace: globex.id }),
        look: () => logInAt(two, connection, staff),
        before: [`${acme.slug}: end-user`],
        after: [`${acme.slug}: end-user`, `${globex.slug}: end-user`],
      };
    },
  },
  {
    title: 'a connection that is switched off',
    async prepare({ api, workspace, connect, startAt, two }) {
      const connection = await connect(await workspace());
      return {
        act: () => api.patch(`/v1/connections/${connection.id}`, { enabled: false }),
        look: () => startAt(two, { connection: connection.id }),
        before: null,
        after: switchedOff,
      };
    },
  },
  {
    title: 'the connections that a workspace offers',
    async prepare({ api, workspace, connect, startAt, two }) {
      const acme = await workspace();
      const connection = await connect(acme);
      return {
        act: () => api.patch(`/v1/connections/${connection.id}`, { enabled: false }),
        look: () => startAt(two, { workspace: acme.slug }),
        before: null,
        after: expect.any(String),
      };
    },
  },
];

/** Long enough that nothing but a message can be what makes a change count. */
const pushOnly = 60;

const ways: readonly (Ways & { readonly title: string })[] = [
  { title: 'by Redis alone', redis: true, notify: false, publish: true, maxStaleSeconds: pushOnly },
  { title: 'by NOTIFY alone, with Redis', redis: true, notify: true, publish: false, maxStaleSeconds: pushOnly },
  { title: 'by NOTIFY, without Redis', redis: false, notify: true, publish: false, maxStaleSeconds: pushOnly },
  { title: 'although every message is lost, with Redis', redis: true, notify: false, publish: false, maxStaleSeconds: 2 },
  { title: 'although every message is lost, without Redis', redis: false, notify: false, publish: false, maxStaleSeconds: 2 },
];

describe.each(ways)('a change at one replica counts at the other within two seconds $title', ({ title: _, ...way }) => {
  const runs = !way.redis || redisUrl !== null;

  describe.skipIf(!runs)(runs ? 'for' : withRedis, () => {
    let world: CachingWorld;
    beforeAll(async () => {
      world = await startCachingWorld(way);
    });
    afterAll(() => world?.stop());

    test.each(changes)('$title', async ({ prepare }) => {
      const { act, look, before, after } = await prepare(world);
      expect(await look()).toEqual(before);
      // Cached by now, and answered from there.
      expect(await look()).toEqual(before);
      await act();
      if (way.maxStaleSeconds === pushOnly) {
        await vi.waitFor(async () => expect(await look()).toEqual(after), { timeout: 2_000, interval: 100 });
      } else {
        await sleep(2_000);
        expect(await look()).toEqual(after);
      }
    });
  });
});

describe('a replica that lost messages while its connection was away', () => {
  test('catches up as soon as it is back, however long it may be stale', async () => {
    const world = await startCachingWorld({ redis: false, notify: false, publish: false, maxStaleSeconds: pushOnly });
    try {
      const acme = await world.workspace();
      const connection = await world.connect(acme);
      await world.logInAt(world.two, connection, staff);
      await world.api.patch(`/v1/connections/${connection.id}`, { group_sync: { mapping: 'Staff -> builder' } });
      expect(await world.logInAt(world.two, connection, staff)).toEqual([`${acme.slug}: end-user`]);
      await world.restoreNotify();
      await vi.waitFor(async () => expect(await world.logInAt(world.two, connection, staff)).toEqual([`${acme.slug}: builder`]), {
        timeout: 5_000,
        interval: 100,
      });
    } finally {
      await world.stop();
    }
  });
});
