import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fanOut } from '../../../src/delivery/fan-out.ts';
import { appendEvents } from '../../../src/outbox/append.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createDeliveryWorld, type DeliveryWorld } from '../../support/delivery-world.ts';
import { membershipEvent, userEvent, workspaceId } from '../../support/webhook-events.ts';

const otherWorkspace = '018f0000-0000-7000-8000-000000000002';
const now = new Date();
let database: TestDatabase;
let world: DeliveryWorld;

beforeAll(async () => {
  database = await createTestDatabase({ poolSize: 12 });
  world = createDeliveryWorld(database.db);
});
beforeEach(() => world.clear());
afterAll(async () => {
  await world.close();
  await database.drop();
});

/** Passes until nothing is left; returns the number of events of each. */
async function fanOutAll(batchEvents = 500): Promise<number[]> {
  const passes: number[] = [];
  for (;;) {
    const result = await fanOut(database.db, { batchEvents });
    if (result.kind === 'busy') continue;
    if (result.events === 0) return passes;
    passes.push(result.events);
  }
}

async function eventIdsAt(endpointId: string): Promise<string[]> {
  return (await world.deliveries()).filter((row) => row.endpoint_id === endpointId).map((row) => row.event_id);
}

describe('fan-out', () => {
  it('makes one delivery of each event for each endpoint, in batches', async () => {
    const [a, b] = [await world.addEndpoint({ url: 'https://a.test/' }), await world.addEndpoint({ url: 'https://b.test/' })];
    const ids = await world.append(...Array.from({ length: 25 }, () => membershipEvent()));
    expect(await fanOutAll(10)).toEqual([10, 10, 5]);
    expect(await eventIdsAt(a.endpointId)).toEqual(ids);
    expect(await eventIdsAt(b.endpointId)).toEqual(ids);
    expect(await fanOutAll()).toEqual([]);
  });

  it('gives each endpoint the types and workspaces it asked for, and a disabled one nothing', async () => {
    const all = await world.addEndpoint({ url: 'https://all.test/' });
    const users = await world.addEndpoint({ url: 'https://users.test/', eventTypes: ['user.created'] });
    const other = await world.addEndpoint({ url: 'https://other.test/', workspaceIds: [otherWorkspace] });
    const disabled = await world.addEndpoint({ url: 'https://off.test/', enabled: false });
    const ids = await world.append(userEvent(), membershipEvent(), membershipEvent({ workspaceId: otherWorkspace }));
    await fanOutAll();
    expect(await eventIdsAt(all.endpointId)).toEqual(ids);
    expect(await eventIdsAt(users.endpointId)).toEqual([ids[0]]);
    expect(await eventIdsAt(other.endpointId)).toEqual([ids[2]]);
    expect(await eventIdsAt(disabled.endpointId)).toEqual([]);
  });

  it('keeps events that belong to no workspace from an endpoint of one workspace', async () => {
    const one = await world.addEndpoint({ url: 'https://one.test/', workspaceIds: [workspaceId] });
    const [, membership] = await world.append(userEvent(), membershipEvent());
    await fanOutAll();
    expect(await eventIdsAt(one.endpointId)).toEqual([membership]);
  });

  it('gives a new endpoint later events only, also when earlier ones were not fanned out yet', async () => {
    const early = await world.addEndpoint({ url: 'https://early.test/' });
    const [before] = await world.append(membershipEvent());
    const late = await world.addEndpoint({ url: 'https://late.test/' });
    const [after] = await world.append(membershipEvent());
    await fanOutAll();
    expect(await eventIdsAt(early.endpointId)).toEqual([before, after]);
    expect(await eventIdsAt(late.endpointId)).toEqual([after]);
  });

  it('gives a new endpoint the events of transactions that were open when it was made', async () => {
    const open = await database.db.transaction();
    const [inOpen] = await appendEvents(open, [membershipEvent()], { now });
    const [committed] = await world.append(membershipEvent());
    const { endpointId } = await world.addEndpoint({ url: 'https://new.test/' });
    await open.commit();
    await fanOutAll();
    expect(committed).toBeDefined();
    expect(await eventIdsAt(endpointId)).toEqual([inOpen]);
  });

  it('goes by positions after a logical restore, when transaction ids start anew', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://old.test/' });
    // A snapshot of the server before, which had come much further.
    await database.db('endpoints').update({ since_snapshot: '900000000:900000000:' });
    const [later] = await world.append(membershipEvent());
    await fanOutAll();
    expect(await eventIdsAt(endpointId)).toEqual([later]);
  });

  it('waits while an endpoint is being made, so that no event slips past it', async () => {
    const creating = await database.db.transaction();
    await creating.raw("SELECT pg_advisory_xact_lock(hashtextextended('rollcall.delivery.fan-out', 0))");
    await world.append(membershipEvent());
    expect(await fanOut(database.db, { batchEvents: 10 })).toEqual({ kind: 'busy' });
    await creating.rollback();
    expect(await fanOut(database.db, { batchEvents: 10 })).toEqual({ kind: 'done', events: 1 });
  });

  it('loses nothing and doubles nothing when its connection dies half-way', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://a.test/' });
    const event = membershipEvent({ version: 1 });
    await world.append(event);
    await fanOutAll();
    const [second] = await world.append({ ...membershipEvent({ version: 2 }), orderKey: event.orderKey });

    // Somebody holds the lane: fan-out stands still in the middle of its statement, and is killed there.
    const holder = await database.db.transaction();
    await holder('delivery_lanes').where({ order_key: event.orderKey }).forUpdate();
    const dying = fanOut(database.db, { batchEvents: 10 }).catch((error: Error) => error);
    await killBlockedBackend();
    expect(await dying).toBeInstanceOf(Error);
    await holder.rollback();

    expect(await eventIdsAt(endpointId)).toHaveLength(1);
    expect(await fanOutAll()).toEqual([1]);
    expect((await eventIdsAt(endpointId)).at(-1)).toBe(second);
    expect(await eventIdsAt(endpointId)).toHaveLength(2);
  });

  it('runs one at a time over all processes, with nothing lost or doubled', async () => {
    const { endpointId } = await world.addEndpoint({ url: 'https://a.test/' });
    const ids: string[] = [];
    let writing = true;
    const writer = (async () => {
      for (let round = 0; round < 40; round += 1)
        ids.push(...(await world.append(...Array.from({ length: 10 }, () => membershipEvent()))));
      writing = false;
    })();
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        while (writing) await fanOut(database.db, { batchEvents: 7 });
      }),
    );
    await writer;
    await fanOutAll();
    expect((await eventIdsAt(endpointId)).toSorted()).toEqual(ids.toSorted());
  });

  it('makes an idle lane due, and leaves a lane that waits for a retry its time', async () => {
    await world.addEndpoint({ url: 'https://a.test/' });
    const [idle, failing] = [membershipEvent(), membershipEvent()];
    await world.append(idle, failing);
    await fanOutAll();
    const retryAt = new Date('2040-01-01T00:00:00Z');
    await database.db('delivery_lanes').update({ due_at: null });
    await database.db('delivery_lanes').where({ order_key: failing.orderKey }).update({ due_at: retryAt });
    await world.append({ ...idle, type: 'membership.updated' }, { ...failing, type: 'membership.updated' });
    await fanOutAll();
    const due = Object.fromEntries((await world.lanes()).map((lane) => [lane.order_key, lane.due_at]));
    expect(due[failing.orderKey]).toEqual(retryAt);
    expect(due[idle.orderKey]?.getTime()).toBeLessThan(Date.now() + 1_000);
  });
});

async function killBlockedBackend(): Promise<void> {
  for (;;) {
    const { rows } = await database.db.raw<{ rows: unknown[] }>(`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%delivery_lanes%'`);
    if (rows.length > 0) return;
  }
}
