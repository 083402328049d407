import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { membershipEvent } from '../../support/webhook-events.ts';

let database: TestDatabase;
let world: DeliveryWorld;
let server: Server;
let url: string;
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  database = await createTestDatabase();
  world = createDeliveryWorld(database.db);
});
beforeEach(async () => {
  await world.clear();
  server = createServer((request, response) => {
    request.resume().on('end', () => answer(request, response));
    response.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
afterAll(async () => {
  await world.close();
  await database.drop();
});

/** Sends one event once. */
async function deliverOnce(options = {}) {
  await world.append(membershipEvent());
  await world.worker(options).runOnce();
  return (await world.attempts()).at(-1);
}

async function pauseSeconds(): Promise<number> {
  const [lane] = await world.lanes();
  return ((lane?.due_at?.getTime() ?? 0) - Date.now()) / 1_000;
}

describe('the log of attempts', () => {
  it('keeps the first KiB of the answer as text, of failures and successes, and how long it took', async () => {
    await world.addEndpoint({ url });
    answer = (_, response) => response.writeHead(500).end(`b\0ad ${'é'.repeat(2_000)}`);
    const failed = await deliverOnce();
    expect(failed).toMatchObject({ outcome: 'failed', attempt: 1, status: 500, error: 'http_status' });
    expect(failed?.answer).toBe(`bad ${'é'.repeat(510)}`);
    expect(failed?.duration_milliseconds).toBeGreaterThanOrEqual(0);
    answer = (_, response) => response.writeHead(202).end(Buffer.from([0x6f, 0x6b, 0xff, 0xfe]));
    await world.endPauses();
    expect(await deliverOnce()).toMatchObject({ outcome: 'delivered', status: 202, error: null, answer: 'ok\ufffd\ufffd' });
  });

  it('holds none of our secrets, even if the receiver echoes all it was sent', async () => {
    await world.addEndpoint({ url, headers: { authorization: 'Bearer abc-def-ghi-jkl', 'x-tenant': 'tenant-one' } });
    const seen: IncomingMessage['headers'][] = [];
    answer = ({ headers }, response) => {
      seen.push(headers);
      const { authorization, 'webhook-signature': signature, 'x-tenant': tenant } = headers;
      response.writeHead(400).end(JSON.stringify({ authorization, signature, tenant, said: 'no such tenant' }));
    };
    const attempt = await deliverOnce();
    expect(seen[0]).toMatchObject({ authorization: 'Bearer abc-def-ghi-jkl', 'x-tenant': 'tenant-one' });
    expect(JSON.parse(attempt?.answer ?? '')).toEqual({
      authorization: '[redacted]',
      signature: '[redacted]',
      tenant: '[redacted]',
      said: 'no such tenant',
    });
  });
});

describe('an answer', () => {
  it('whose head says 200 and whose body drips on for ever is cut by the time limit, and is a failure', async () => {
    await world.addEndpoint({ url });
    answer = (_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(drip));
    };
    const attempt = await deliverOnce({ timeoutSeconds: 0.4 });
    expect(attempt).toMatchObject({ outcome: 'failed', status: null, error: 'timeout' });
    expect(attempt?.duration_milliseconds).toBeLessThan(3_000);
  });

  it('that drips but ends in time is a success', async () => {
    await world.addEndpoint({ url });
    answer = (_, response) => {
      response.writeHead(200);
      let drops = 0;
      const drip = setInterval(() => {
        drops += 1;
        response.write('.');
        if (drops < 5) return;
        clearInterval(drip);
        response.end();
      }, 10);
    };
    expect(await deliverOnce()).toMatchObject({ outcome: 'delivered', status: 200, answer: '.....' });
  });

  it('that never ends to pour is cut at 64 KiB', async () => {
    await world.addEndpoint({ url });
    let sent = 0;
    answer = (_, response) => {
      response.writeHead(200);
      const pour = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 'x'))) sent += 65_536;
        if (!response.destroyed) response.once('drain', pour);
      };
      pour();
    };
    expect(await deliverOnce()).toMatchObject({ outcome: 'failed', error: 'too_large' });
    expect(sent).toBeLessThan(64 * 1_048_576);
  });

  it.each([
    [429, '600', 600],
    [503, new Date(Date.now() + 3_000_000).toUTCString(), 3_000],
    [500, '600', 600],
    [503, '5', 100],
    [429, '9000000', 86_400],
    [503, 'soon', 100],
  ])('%i with Retry-After: %s pauses the member for about %d s', async (status, asked, seconds) => {
    await world.addEndpoint({ url });
    answer = (_, response) => response.writeHead(status, { 'retry-after': asked }).end();
    await deliverOnce();
    expect(Math.abs((await pauseSeconds()) - seconds)).toBeLessThan(60);
  });
});
