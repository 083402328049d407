import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { disableEndpoint } from '../../../src/delivery/endpoint-disabling.ts';
import { fanOut } from '../../../src/delivery/fan-out.ts';
import { eventSchemas } from '../../../src/outbox/event-schema.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { workspaceId } from '../../support/webhook-events.ts';

const now = new Date('2026-03-01T12:00:00.000Z');
let database: TestDatabase;
let world: DeliveryWorld;

beforeAll(async () => {
  database = await createTestDatabase();
  world = createDeliveryWorld(database.db);
});
beforeEach(() => world.clear());
afterAll(async () => {
  await world.close();
  await database.drop();
});

const payloads = (): Promise<{ type: string; data: Record<string, unknown> }[]> =>
  database.db('events').orderBy('position').pluck('payload');

describe('an endpoint that is given up', () => {
  it('is disabled, and every other endpoint is told, once', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://dead.test/hook?token=secret', description: 'App' });
    const { endpointId: other } = await world.addEndpoint({ url: 'https://alive.test/' });
    await world.addEndpoint({ url: 'https://one-workspace.test/', workspaceIds: [workspaceId] });
    await database.db('endpoint_health').insert({
      endpoint_id: endpointId,
      failing_since: new Date('2026-02-26T12:00:00.000Z'),
      last_status: 503,
      last_error: 'http_status',
    });

    expect(await disableEndpoint(database.db, { endpointId, reason: 'failing', now })).toBe(true);
    expect(await disableEndpoint(database.db, { endpointId, reason: 'gone', now })).toBe(false);

    expect(await world.endpoints.get(endpointId)).toMatchObject({ enabled: false, disabledReason: 'failing', updatedAt: now });
    const [event, ...more] = await payloads();
    expect(more).toEqual([]);
    expect(eventSchemas['endpoint.disabled'].parse(event)).toEqual({
      type: 'endpoint.disabled',
      timestamp: now.toISOString(),
      data: {
        endpoint: { id: endpointId, url: 'https://dead.test/hook', description: 'App' },
        reason: 'failing',
        failing_since: '2026-02-26T12:00:00.000Z',
        last_status: 503,
        last_error: 'http_status',
      },
    });
    await fanOut(database.db, { batchEvents: 10 });
    expect((await world.deliveries()).map(({ endpoint_id }) => endpoint_id)).toEqual([other]);
  });

  it('by 410 says so, also before the answer is recorded', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://gone.test/' });
    await disableEndpoint(database.db, { endpointId, reason: 'gone', now });
    expect((await payloads())[0]?.data).toMatchObject({
      reason: 'gone',
      failing_since: null,
      last_status: 410,
      last_error: 'gone',
    });
  });

  it('is told of only if it was enabled until then', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://off.test/', enabled: false });
    expect(await disableEndpoint(database.db, { endpointId, reason: 'gone', now })).toBe(false);
    expect(await world.endpoints.get(endpointId)).toMatchObject({ disabledReason: 'request' });
    expect(await payloads()).toEqual([]);
  });

  it('is disabled together with its event or not at all', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://dead.test/' });
    await database.db.raw("ALTER TABLE events ADD CONSTRAINT refused CHECK (type <> 'endpoint.disabled')");
    try {
      await expect(disableEndpoint(database.db, { endpointId, reason: 'gone', now })).rejects.toThrow('refused');
    } finally {
      await database.db.raw('ALTER TABLE events DROP CONSTRAINT refused');
    }
    expect((await world.endpoints.get(endpointId)).enabled).toBe(true);
  });

  it('by one of two who find it dead at the same moment, is told of once', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://dead.test/' });
    const both = [1, 2].map(() => disableEndpoint(database.db, { endpointId, reason: 'gone', now }));
    expect((await Promise.all(both)).sort()).toEqual([false, true]);
    expect(await payloads()).toHaveLength(1);
  });
});
