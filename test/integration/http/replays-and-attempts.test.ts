import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { carryReplayBatch } from '../../../src/delivery/replay-task.ts';
import { createTaskRunner } from '../../../src/delivery/tasks.ts';
import { appendEvents, webhookId } from '../../../src/outbox/append.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';
import { membershipEvent } from '../../support/webhook-events.ts';

const api = useApi();
const { get, post, patch, remove } = api;
const userId = randomUUID();
let endpoint: string;
let endpointId: string;
let eventIds: string[];

beforeEach(async () => {
  const { db } = api.database;
  await db.raw('TRUNCATE outbox, event_log, deliveries, delivery_attempts, endpoint_tasks RESTART IDENTITY CASCADE');
  const made = await post('/v1/endpoints', { url: 'https://app.example.com/webhooks' });
  endpoint = made.headers.location as string;
  endpointId = made.body.endpoint_id;
  const events = [1, 2, 3].map((version) => membershipEvent({ workspaceId: api.acme, userId, version }));
  eventIds = await db.transaction((tx) => appendEvents(tx, [...events, membershipEvent()], { now: new Date() }));
  await untilEventsReadable(db);
});

const carryOut = () =>
  createTaskRunner({
    db: api.database.db,
    carry: { replay: carryReplayBatch, snapshot: async () => ({ done: true, progress: null, deliveries: 0 }) },
    now: () => new Date(),
    log: quietLog,
    pollSeconds: 1,
  }).runOnce();
const webhookIds = () => eventIds.map(webhookId);

describe('replays', () => {
  it('are asked for, carried out in the background, and read', async () => {
    await api.database.db('deliveries').delete();
    const made = await post(`${endpoint}/replays`, { events: webhookIds().slice(0, 2) });
    expect(made.status).toBe(202);
    expect(made.body).toMatchObject({
      endpoint_id: endpointId,
      filter: { events: webhookIds().slice(0, 2) },
      status: 'waiting',
      deliveries: 0,
    });
    expect((await get(made.headers.location as string)).body).toEqual(made.body);
    await carryOut();
    expect((await get(made.headers.location as string)).body).toMatchObject({ status: 'done', deliveries: 2 });
    const second = await post(`${endpoint}/replays`, { exhausted: true });
    const page = await get(`${endpoint}/replays?limit=1`);
    expect(page.body.data.map(({ replay_id: id }: { replay_id: string }) => id)).toEqual([second.body.replay_id]);
    const next = await get(`${endpoint}/replays?limit=1&after=${page.body.next_cursor}`);
    expect(next.body).toMatchObject({ data: [{ replay_id: made.body.replay_id }], next_cursor: null });
  });

  it('take a time, a member, or all that is exhausted, and say so', async () => {
    const from = new Date(Date.now() - 60_000).toISOString();
    const ask = async (body: object) => (await post(`${endpoint}/replays`, body)).body.filter;
    const range = await ask({ from });
    expect(range).toMatchObject({ from, to: expect.any(String) });
    // What is still to come is sent anyway.
    expect(Date.parse((await ask({ from, to: '2999-01-01T00:00:00Z' })).to)).toBeLessThanOrEqual(Date.now());
    const member = { workspace_id: api.acme, user_id: userId };
    expect(await ask({ member })).toMatchObject({ member, from: null });
    expect(await ask({ member, from, to: '2030-01-01T00:00:00+02:00' })).toMatchObject({ member, from });
    expect(await ask({ exhausted: true })).toEqual({ exhausted: true });
  });

  it.each([
    [{}, ['']],
    [{ exhausted: true, from: '2026-01-01T00:00:00Z' }, ['']],
    [{ exhausted: false }, ['exhausted']],
    [{ to: '2026-01-01T00:00:00Z' }, ['', 'to']],
    [{ from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }, ['to']],
    [{ from: 'yesterday' }, ['from']],
    [{ events: [] }, ['events']],
    [{ events: ['evt_1'] }, ['events.0']],
    [{ member: { workspace_id: 'acme', user_id: 'ann' } }, ['member.user_id', 'member.workspace_id']],
    [{ exhausted: true, all: true }, ['all']],
  ])('refuse %j', async (body, at) => {
    const answer = await post(`${endpoint}/replays`, body);
    expect(answer.status).toBe(422);
    expect(paths(answer)).toEqual(at);
  });

  it('are carried out from whatever moment is named, be it before all events or after them', async () => {
    const { db } = api.database;
    const member = { workspace_id: api.acme, user_id: userId };
    // The first is the zero of time in Go, and so what a field that nobody filled says.
    for (const [from, isBefore] of [
      ['0001-01-01T00:00:00Z', true],
      ['0000-01-01T00:00:00+23:59', true],
      ['9999-12-31T23:59:59-23:59', false],
    ] as const) {
      for (const [body, count] of [
        [{ from }, 4],
        [{ from, member }, 3],
      ] as const) {
        await db('deliveries').delete();
        const { headers } = await post(`${endpoint}/replays`, body);
        await carryOut();
        const deliveries = isBefore ? count : 0;
        expect((await get(headers.location as string)).body, from).toMatchObject({ status: 'done', deliveries });
      }
    }
  });

  it('refuse events that the log does not hold, each by its place, and one named twice', async () => {
    const [known = ''] = webhookIds();
    const unknown = webhookId(randomUUID());
    const answer = await post(`${endpoint}/replays`, { events: [known, unknown] });
    expect(answer.body).toMatchObject({ code: 'validation_failed', reason: 'event_unknown' });
    expect(paths(answer)).toEqual(['events.1']);
    expect(paths(await post(`${endpoint}/replays`, { events: [known, known] }))).toEqual(['events']);
  });

  it('are refused while the endpoint is disabled, with what to do', async () => {
    await patch(endpoint, { enabled: false });
    const answer = await post(`${endpoint}/replays`, { exhausted: true });
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({ reason: 'endpoint_disabled', errors: [{ message: expect.stringContaining('enable') }] });
    await patch(endpoint, { enabled: true });
    expect((await post(`${endpoint}/replays`, { exhausted: true })).status).toBe(202);
  });

  it('are made once for one Idempotency-Key', async () => {
    const ask = () => post(`${endpoint}/replays`, { exhausted: true }).set('Idempotency-Key', 'again');
    const [first, second] = [await ask(), await ask()];
    expect(second.body).toEqual(first.body);
    expect((await get(`${endpoint}/replays`)).body.data).toHaveLength(1);
  });
});

describe('the queue of an endpoint', () => {
  it('shows what waits, member by member in the order of sending, and when the first of each goes', async () => {
    const { body } = await get(`${endpoint}/deliveries?status=waiting`);
    const own = body.data.filter((delivery: { user_id: string }) => delivery.user_id === userId);
    expect(own.map((delivery: { event_id: string }) => delivery.event_id)).toEqual(webhookIds().slice(0, 3));
    expect(own[0]).toMatchObject({
      type: 'membership.created',
      workspace_id: api.acme,
      status: 'waiting',
      attempts: 0,
      last_status: null,
      next_attempt_at: expect.any(String),
    });
    expect(own.slice(1).map((delivery: { next_attempt_at: unknown }) => delivery.next_attempt_at)).toEqual([null, null]);
  });

  it('is read page by page, each once', async () => {
    for (const status of ['', '&status=waiting', '&status=exhausted']) {
      await api.database.db('deliveries').update({ status: status.includes('exhausted') ? 'exhausted' : 'waiting' });
      const seen: string[] = [];
      let cursor = '';
      do {
        const { body } = await get(`${endpoint}/deliveries?limit=1${status}${cursor && `&after=${cursor}`}`);
        seen.push(...body.data.map((delivery: { event_id: string }) => delivery.event_id));
        cursor = body.next_cursor ?? '';
      } while (cursor !== '');
      expect(seen.toSorted()).toEqual(webhookIds().toSorted());
    }
  });

  it('shows what is exhausted, and only that when asked', async () => {
    await api.database
      .db('deliveries')
      .where({ event_id: eventIds[1] ?? '' })
      .update({ status: 'exhausted', attempts: 12, last_status: 503, last_error: 'http_status' });
    const { body } = await get(`${endpoint}/deliveries?status=exhausted`);
    expect(body.data).toMatchObject([
      {
        event_id: webhookIds()[1],
        status: 'exhausted',
        attempts: 12,
        last_status: 503,
        last_error: 'http_status',
        next_attempt_at: null,
      },
    ]);
    expect((await get(`${endpoint}/deliveries`)).body.data).toHaveLength(4);
    expect((await get(`${endpoint}/deliveries?status=waiting`)).body.data).toHaveLength(3);
    expect(paths(await get(`${endpoint}/deliveries?status=delivered`))).toEqual(['status']);
    for (const cursor of ['x', Buffer.from('["a\\u0000",1]').toString('base64url'), Buffer.from('[1,2]').toString('base64url')]) {
      expect(paths(await get(`${endpoint}/deliveries?after=${cursor}`))).toEqual(['after']);
    }
  });
});

describe('the log of attempts', () => {
  beforeEach(async () => {
    const attempt = (index: number, more: object) => ({
      endpoint_id: endpointId,
      order_key: `member:${api.acme}:${userId}`,
      position: index + 1,
      event_id: eventIds[index],
      duration_milliseconds: 12,
      ...more,
    });
    for (const row of [
      attempt(0, { attempt: 1, outcome: 'failed', error: 'timeout' }),
      attempt(0, { attempt: 2, outcome: 'delivered', status: 200, answer: 'ok' }),
      attempt(1, { attempt: 1, outcome: 'exhausted', status: 500, error: 'http_status', answer: 'x'.repeat(1_024) }),
      attempt(3, { attempt: 1, outcome: 'delivered', status: 204, order_key: 'user:x' }),
      attempt(0, { attempt: 1, outcome: 'delivered', status: 202, endpoint_id: randomUUID() }),
    ]) {
      await api.database.db('delivery_attempts').insert(row);
    }
  });
  type Shown = { event_id: string; attempt: number; outcome: string };
  const shown = async (query: string) =>
    (await get(`${endpoint}/attempts${query}`)).body.data.map(({ event_id: id, attempt, outcome }: Shown) => [
      webhookIds().indexOf(id),
      attempt,
      outcome,
    ]);

  it('shows each attempt, newest first, with status, error, duration and answer', async () => {
    expect(await shown('')).toEqual([
      [3, 1, 'delivered'],
      [1, 1, 'exhausted'],
      [0, 2, 'delivered'],
      [0, 1, 'failed'],
    ]);
    const { body } = await get(`${endpoint}/attempts?outcome=failed`);
    expect(body.data).toEqual([
      {
        attempted_at: expect.stringMatching(/^\d{4}-.*Z$/),
        endpoint_id: endpointId,
        event_id: webhookIds()[0],
        attempt: 1,
        outcome: 'failed',
        status: null,
        error: 'timeout',
        duration_milliseconds: 12,
        answer: null,
      },
    ]);
  });

  it('is narrowed to outcome, event and member, and read page by page', async () => {
    expect(await shown('?outcome=delivered')).toEqual([
      [3, 1, 'delivered'],
      [0, 2, 'delivered'],
    ]);
    expect(await shown(`?event=${webhookIds()[0]}`)).toHaveLength(2);
    expect(await shown(`?member=${api.acme}:${userId}`)).toHaveLength(3);
    expect(await shown(`?member=${api.acme}:${randomUUID()}`)).toEqual([]);
    const first = await get(`${endpoint}/attempts?limit=3`);
    expect(await shown(`?limit=3&after=${first.body.next_cursor}`)).toEqual([[0, 1, 'failed']]);
    expect(paths(await get(`${endpoint}/attempts?event=1&member=ann&outcome=x&after=x`))).toEqual([
      'after',
      'event',
      'member',
      'outcome',
    ]);
  });

  it('shows the attempts of one event at every endpoint', async () => {
    const { body } = await get(`/v1/events/${webhookIds()[0]}/attempts`);
    expect(body.data.map(({ status }: { status: number | null }) => status)).toEqual([202, 200, null]);
    expect((await get('/v1/events/x/attempts')).status).toBe(404);
  });
});

it('R13 replays, queues and attempts belong to the instance', async () => {
  for (const path of [
    `${endpoint}/replays`,
    `${endpoint}/deliveries`,
    `${endpoint}/attempts`,
    `/v1/events/${webhookIds()[0]}/attempts`,
  ]) {
    expect((await get(path)).status).toBe(200);
    expect((await get(path, api.keys.acme)).status).toBe(403);
  }
  expect((await post(`${endpoint}/replays`, { exhausted: true }, api.keys.acme)).status).toBe(403);
  expect((await post(`${endpoint}/replays`, { exhausted: true }, api.keys.readOnly)).status).toBe(403);
  await remove(endpoint);
  for (const path of ['replays', 'deliveries', 'attempts']) expect((await get(`${endpoint}/${path}`)).status).toBe(404);
});
