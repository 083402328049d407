import { beforeEach, describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';

const api = useApi();
const { get, post } = api;
const now = () => new Date();

describe('the event log', () => {
  beforeEach(async () => {
    await api.database.db.raw('TRUNCATE outbox, event_log RESTART IDENTITY');
    for (const [workspaceId, type] of [
      [api.acme, 'membership.created'],
      [api.globex, 'membership.created'],
      [null, 'user.created'],
    ] as const) {
      await api.database.db('events').insert({
        event_id: uniqueId(now()),
        workspace_id: workspaceId,
        order_key: 'x',
        type,
        payload: { type, timestamp: now().toISOString(), data: { workspace: workspaceId } },
        occurred_at: now(),
      });
    }
    await untilEventsReadable(api.database.db);
  });
  const typesOf = (answer: { body: { data: { type: string }[] } }) => answer.body.data.map(({ type }) => type);

  it('is read page by page with a cursor that stays good at the end', async () => {
    const first = await get('/v1/events?limit=2');
    expect(typesOf(first)).toEqual(['membership.created', 'membership.created']);
    expect(first.body.data[0].id).toMatch(/^evt_/);
    const second = await get(`/v1/events?after=${first.body.next_cursor}`);
    expect(typesOf(second)).toEqual(['user.created']);
    const third = await get(`/v1/events?after=${second.body.next_cursor}`);
    expect(third.body).toEqual({ data: [], next_cursor: second.body.next_cursor, has_more: false });
    expect([first.body.has_more, second.body.has_more]).toEqual([true, false]);
  });

  it('is narrowed to types and a workspace', async () => {
    expect(typesOf(await get('/v1/events?types=user.created,user.updated'))).toEqual(['user.created']);
    expect(typesOf(await get(`/v1/events?workspace=${api.acme}`))).toEqual(['membership.created']);
    expect(paths(await get('/v1/events?types=user.exploded'))).toEqual(['types.0']);
    expect(paths(await get('/v1/events?types=membership.snapshot'))).toEqual(['types.0']);
    expect(paths(await get('/v1/events?after=yesterday'))).toEqual(['after']);
  });

  it('R40 passes what a filter leaves out, so that a cursor never grows old', async () => {
    const all = await get('/v1/events');
    const none = await get('/v1/events?types=user.deleted');
    expect(none.body).toEqual({ data: [], next_cursor: all.body.next_cursor, has_more: false });
    const own = await get('/v1/events', api.keys.acme);
    expect(own.body.next_cursor).toBe(all.body.next_cursor);
  });

  it('R40 answers 410 with the earliest cursor when events after the cursor are no longer kept', async () => {
    const first = await get('/v1/events?limit=1');
    await api.database.db('event_log').where('sequence', '<=', 2).delete();
    const answer = await get(`/v1/events?after=${first.body.next_cursor}`);
    expect(answer.status).toBe(410);
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.body).toMatchObject({ code: 'cursor_expired', reason: 'retention', earliest_cursor: '2' });
    expect(typesOf(await get(`/v1/events?after=${answer.body.earliest_cursor}`))).toEqual(['user.created']);
    expect(typesOf(await get('/v1/events'))).toEqual(['user.created']);
  });

  it('shows one event by its webhook-id', async () => {
    const { body } = await get('/v1/events');
    for (const event of body.data) expect((await get(`/v1/events/${event.id}`)).body).toEqual(event);
    for (const id of ['x', 'evt_x', `evt_${'0'.repeat(32)}`, body.data[0].id.toUpperCase()]) {
      expect((await get(`/v1/events/${id}`)).status).toBe(404);
    }
  });

  it('R13 shows a workspace’s key its own event by id, and no other', async () => {
    const [own, other, nobodys] = (await get('/v1/events')).body.data;
    expect((await get(`/v1/events/${own.id}`, api.keys.acme)).status).toBe(200);
    expect((await get(`/v1/events/${other.id}`, api.keys.acme)).status).toBe(404);
    expect((await get(`/v1/events/${nobodys.id}`, api.keys.acme)).status).toBe(404);
  });

  it('R13 shows a workspace’s key its own events only', async () => {
    const { body } = await get('/v1/events', api.keys.acme);
    expect(body.data.map(({ data }: { data: { workspace: string } }) => data.workspace)).toEqual([api.acme]);
    expect((await get(`/v1/events?workspace=${api.globex}`, api.keys.acme)).status).toBe(404);
  });
});

describe('the trace of a login', () => {
  async function aTrace(connectionId: string | null) {
    const loginId = uniqueId(now());
    await api.database.db('login_traces').insert({
      login_id: loginId,
      connection_id: connectionId,
      outcome: 'assertion_rejected',
      reason: 'audience_mismatch',
      detail: { message: 'the audience is another one' },
      occurred_at: now(),
    });
    return `/v1/logins/${loginId}`;
  }

  it('is found by the reference of the error page', async () => {
    expect((await get(await aTrace(null))).body).toMatchObject({
      outcome: 'assertion_rejected',
      reason: 'audience_mismatch',
      detail: { message: 'the audience is another one' },
    });
    expect((await get('/v1/logins/x')).status).toBe(404);
    expect((await get(`/v1/logins/${uniqueId(now())}`)).status).toBe(404);
  });

  it('R13 is shown to a workspace’s key for its own connections only', async () => {
    const { body: own } = await post('/v1/connections', { display_name: 'own', protocol: samlProtocol, workspace: 'acme' });
    const { body: instance } = await post('/v1/connections', { display_name: 'instance', protocol: samlProtocol });
    expect((await get(await aTrace(own.connection_id), api.keys.acme)).status).toBe(200);
    expect((await get(await aTrace(own.connection_id), api.keys.globex)).status).toBe(404);
    expect((await get(await aTrace(instance.connection_id), api.keys.acme)).status).toBe(404);
    expect((await get(await aTrace(null), api.keys.acme)).status).toBe(404);
  });
});
