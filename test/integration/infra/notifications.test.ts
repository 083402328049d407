import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createNotifications, type Notifications } from '../../../src/infra/notifications.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { recordingLog } from '../../support/quiet-log.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

interface OpenOptions {
  readonly url?: string;
  readonly channels?: readonly string[];
  readonly keepAliveMilliseconds?: number;
  readonly answerMilliseconds?: number;
}

describe('notifications of Postgres', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let proxied: string;
  const started: Notifications[] = [];

  beforeAll(async () => {
    database = await createTestDatabase({ poolSize: 2 });
    const { hostname: host, port } = new URL(database.url);
    proxy = await startTcpProxy({ host, port: Number(port) });
    const address = new URL(database.url);
    address.host = `127.0.0.1:${proxy.port}`;
    proxied = address.href;
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.stop()));
    await proxy.restore();
  });
  afterAll(async () => {
    await proxy.close();
    await database.drop();
  });

  async function open({ url = database.url, channels = ['first'], ...times }: OpenOptions = {}) {
    const { log, lines } = recordingLog();
    const messages: string[] = [];
    let connections = 0;
    const notifications = createNotifications({ url, log, ...times });
    started.push(notifications);
    channels.forEach((channel, index) => {
      const count = () => (connections += index === 0 ? 1 : 0);
      notifications.listen(channel, (payload) => messages.push(`${channel}: ${payload}`), count);
    });
    notifications.start();
    await vi.waitFor(() => expect(connections).toBe(1));
    return { notifications, messages, lines, connections: () => connections };
  }

  const send = (channel: string, payload: string) => database.db.raw('SELECT pg_notify(?, ?)', [channel, payload]);
  const sessions = async () => {
    const { rows } = await database.db.raw(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'rollcall notifications' AND datname = current_database()",
    );
    return rows.map(({ pid }: { pid: number }) => pid);
  };
  const terminate = () =>
    database.db.raw(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rollcall notifications' AND datname = current_database()",
    );

  test('hands out the messages of each channel, over one connection', async () => {
    const { messages } = await open({ channels: ['first', 'Second "channel"'] });
    await send('first', 'one');
    await send('Second "channel"', 'two');
    await send('third', 'three');
    await send('first', '');
    await vi.waitFor(() => expect(messages).toEqual(['first: one', 'Second "channel": two', 'first: ']));
    expect(await sessions()).toHaveLength(1);
  });

  test('a message of a transaction comes when it commits, and never when it does not', async () => {
    const { messages } = await open();
    await database.db
      .transaction(async (tx) => {
        await tx.raw("SELECT pg_notify('first', 'undone')");
        throw new Error('undo');
      })
      .catch(() => {});
    await database.db.transaction(async (tx) => {
      await tx.raw("SELECT pg_notify('first', 'done')");
      await sleep(50);
      expect(messages).toEqual([]);
    });
    await vi.waitFor(() => expect(messages).toEqual(['first: done']));
  });

  test('connects again when the server ends the connection, and tells that messages may have been lost', async () => {
    const { messages, connections, lines } = await open();
    await terminate();
    await vi.waitFor(() => expect(connections()).toBe(2));
    await send('first', 'after');
    await vi.waitFor(() => expect(messages).toEqual(['first: after']));
    expect(lines.map(({ msg }) => msg)).toEqual([expect.stringMatching(/are away/), expect.stringMatching(/are back/)]);
  });

  test('connects again when the network comes back, however often it tried in between', async () => {
    const { messages, connections, lines } = await open({ url: proxied });
    await proxy.cut();
    await sleep(400);
    await proxy.restore();
    await vi.waitFor(() => expect(connections()).toBe(2), { timeout: 5_000 });
    await send('first', 'after');
    await vi.waitFor(() => expect(messages).toEqual(['first: after']));
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test('a connection that says nothing any more is given up, and a new one made', async () => {
    const { connections } = await open({ url: proxied, keepAliveMilliseconds: 50, answerMilliseconds: 200 });
    proxy.hang();
    await sleep(400);
    await proxy.restore();
    await vi.waitFor(() => expect(connections()).toBeGreaterThan(1), { timeout: 10_000 });
  });

  test('stopping does not wait for a network that hangs', async () => {
    const { notifications } = await open({ url: proxied });
    proxy.hang();
    await notifications.stop();
    await proxy.restore();
  });

  test('a channel that is listened to later works as well, on the same connection', async () => {
    const { notifications, messages } = await open();
    let ready = 0;
    notifications.listen(
      'later',
      (payload) => messages.push(`later: ${payload}`),
      () => (ready += 1),
    );
    await vi.waitFor(() => expect(ready).toBe(1));
    await send('later', 'one');
    await vi.waitFor(() => expect(messages).toEqual(['later: one']));
    await terminate();
    await vi.waitFor(() => expect(ready).toBe(2));
    await send('later', 'two');
    await vi.waitFor(() => expect(messages).toEqual(['later: one', 'later: two']));
  });

  test('a listener that throws takes nothing from the others', async () => {
    const { notifications, messages, lines } = await open();
    notifications.listen('first', () => {
      throw new Error('not mine');
    });
    notifications.listen('first', (payload) => messages.push(`other: ${payload}`));
    await vi.waitFor(async () => {
      await send('first', 'one');
      expect(messages).toContain('other: one');
    });
    expect(lines.map(({ msg }) => msg)).toContain('a notification could not be handled');
  });

  test('stopped it leaves no connection and hears nothing, also while the server is away', async () => {
    const { notifications, messages } = await open();
    await notifications.stop();
    await send('first', 'late');
    await vi.waitFor(async () => expect(await sessions()).toEqual([]));
    expect(messages).toEqual([]);

    const other = await open({ url: proxied });
    await proxy.cut();
    await other.notifications.stop();
    await proxy.restore();
    await sleep(200);
    expect(await sessions()).toEqual([]);
  });

  test('a server that is away at the start is found when it comes', async () => {
    await proxy.cut();
    const { log } = recordingLog();
    const notifications = createNotifications({ url: proxied, log });
    started.push(notifications);
    let connections = 0;
    notifications.listen(
      'first',
      () => {},
      () => (connections += 1),
    );
    notifications.start();
    await sleep(200);
    expect(connections).toBe(0);
    await proxy.restore();
    await vi.waitFor(() => expect(connections).toBe(1), { timeout: 5_000 });
  });
});
