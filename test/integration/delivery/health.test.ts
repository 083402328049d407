import { randomUUID } from 'node:crypto';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createHealthReader } from '../../../src/delivery/health.ts';
import { watchEndpoints } from '../../../src/delivery/health-metrics.ts';
import { createDatabase } from '../../../src/infra/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld, silentLog } from '../../support/delivery-world.ts';

let database: TestDatabase;
let world: DeliveryWorld;
let endpointId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  world = createDeliveryWorld(database.db);
});
beforeEach(async () => {
  await world.clear();
  ({ endpointId } = await world.addEndpoint({ url: 'https://app.test/' }));
});
afterAll(async () => {
  await world.close();
  await database.drop();
});

const health = () => createHealthReader({ db: database.db })(endpointId);
const note = (columns: object) =>
  database
    .db('endpoint_health')
    .insert({ endpoint_id: endpointId, ...columns })
    .onConflict('endpoint_id')
    .merge();

/** Deliveries in lanes of their own. */
async function queue(count: number, status: 'waiting' | 'exhausted', minutesAgo = 0): Promise<void> {
  await database.db.raw(
    `WITH lanes AS (
       INSERT INTO delivery_lanes (endpoint_id, order_key, due_at)
       SELECT :endpointId, :status || number, CASE WHEN :status = 'waiting' THEN now() - make_interval(mins => :minutesAgo) END
       FROM generate_series(1, :count::integer) AS number RETURNING order_key)
     INSERT INTO deliveries (endpoint_id, order_key, position, recorded_on, event_id, status, created_at)
     SELECT :endpointId, order_key, row_number() OVER (), '2026-03-01', gen_random_uuid(), :status, now() - make_interval(mins => :minutesAgo)
     FROM lanes`,
    { endpointId, status, count, minutesAgo },
  );
}

describe('the health of an endpoint', () => {
  it('is good as long as nothing was tried', async () => {
    expect(await health()).toEqual({
      endpointId,
      state: 'healthy',
      disabledReason: null,
      failingSince: null,
      consecutiveFailures: 0,
      lastSuccessAt: null,
      lastFailureAt: null,
      lastStatus: null,
      lastError: null,
      waiting: { count: 0, exact: true },
      exhausted: { count: 0, exact: true },
      oldestWaitingAt: null,
      nextAttemptAt: null,
    });
  });

  it('tells of failures, then of the open circuit, then of the disabling', async () => {
    const failingSince = new Date('2026-03-01T12:00:00.000Z');
    await note({ failing_since: failingSince, consecutive_failures: 3, last_status: 503, last_error: 'http_status' });
    expect(await health()).toMatchObject({
      state: 'failing',
      failingSince,
      consecutiveFailures: 3,
      lastStatus: 503,
      lastError: 'http_status',
    });
    const pausedUntil = new Date(Date.now() + 60_000);
    await note({ paused_until: pausedUntil });
    await queue(1, 'waiting');
    expect(await health()).toMatchObject({ state: 'circuit_open', nextAttemptAt: pausedUntil });
    await world.endpoints.update(endpointId, { enabled: false });
    expect(await health()).toMatchObject({ state: 'disabled', disabledReason: 'request', nextAttemptAt: null });
  });

  it('is as good as new once somebody enables it; what it last answered stays to be read', async () => {
    await note({
      failing_since: new Date(),
      consecutive_failures: 9,
      paused_until: new Date(),
      failed_probes: 4,
      last_status: 500,
    });
    await world.endpoints.update(endpointId, { description: 'x' });
    expect((await health()).state).toBe('circuit_open');
    await world.endpoints.update(endpointId, { enabled: true });
    expect(await health()).toMatchObject({ state: 'healthy', failingSince: null, consecutiveFailures: 0, lastStatus: 500 });
    expect(await database.db('endpoint_health').first()).toMatchObject({ failed_probes: 0, paused_until: null });
  });

  it('does not keep what waits from being tried at once when it is enabled', async () => {
    await queue(3, 'waiting', -60);
    await world.endpoints.update(endpointId, { description: 'x' });
    const isDue = async () => ((await health()).nextAttemptAt?.getTime() ?? 0) <= Date.now();
    expect(await isDue()).toBe(false);
    await world.endpoints.update(endpointId, { enabled: true });
    expect(await isDue()).toBe(true);
    const soon = new Date(Date.now() + 1_000);
    expect((await world.lanes()).every(({ due_at }) => due_at !== null && due_at <= soon)).toBe(true);
  });

  it('counts what waits and what is exhausted, and says how old the oldest is', async () => {
    await queue(3, 'waiting', 10);
    await queue(2, 'exhausted');
    const { waiting, exhausted, oldestWaitingAt, nextAttemptAt } = await health();
    expect([waiting, exhausted]).toEqual([
      { count: 3, exact: true },
      { count: 2, exact: true },
    ]);
    for (const moment of [oldestWaitingAt, nextAttemptAt]) {
      expect(Math.abs(Date.now() - 600_000 - (moment?.getTime() ?? 0))).toBeLessThan(60_000);
    }
  });

  it('stops counting at 10,000, and says that there are more', async () => {
    await queue(10_000, 'waiting');
    expect((await health()).waiting).toEqual({ count: 10_000, exact: true });
    await queue(10_050, 'exhausted');
    expect((await health()).exhausted).toEqual({ count: 10_000, exact: false });
  });

  it('is of an endpoint that is there', async () => {
    const read = createHealthReader({ db: database.db });
    await expect(read(randomUUID())).rejects.toMatchObject({ code: 'not_found' });
    await world.endpoints.remove(endpointId);
    await expect(health()).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('the metrics of endpoints', () => {
  const valuesOf = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

  it('count endpoints by state and deliveries by status', async () => {
    const { endpointId: other } = await world.addEndpoint({ url: 'https://other.test/' });
    await world.addEndpoint({ url: 'https://off.test/', enabled: false });
    await database.db('endpoint_health').insert({ endpoint_id: other, failing_since: new Date() });
    await queue(3, 'waiting', 10);
    await queue(1, 'exhausted');
    const registry = new Registry();
    watchEndpoints({ db: database.db, registry, log: silentLog });
    const values = valuesOf(await registry.metrics());
    expect(values.slice(0, -1)).toEqual([
      'rollcall_endpoints{state="healthy"} 1',
      'rollcall_endpoints{state="failing"} 1',
      'rollcall_endpoints{state="circuit_open"} 0',
      'rollcall_endpoints{state="disabled"} 1',
      'rollcall_deliveries_queued{status="waiting"} 3',
      'rollcall_deliveries_queued{status="exhausted"} 1',
    ]);
    expect(Math.abs(Number(values.at(-1)?.split(' ')[1]) - 600)).toBeLessThan(60);
  });

  it('are left out, and nothing else, while Postgres is away', async () => {
    const away = createDatabase({ url: 'postgres://nobody@127.0.0.1:1/none', poolSize: 1, statementTimeoutSeconds: 1 });
    const registry = new Registry();
    watchEndpoints({ db: away, registry, log: silentLog });
    expect(valuesOf(await registry.metrics())).toEqual([]);
    await away.destroy();
  });
});
