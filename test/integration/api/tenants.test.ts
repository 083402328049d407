import { randomUUID } from 'node:crypto';
import request from 'supertest';
import { describe, expect, it } from 'vitest';
import type { DeclaredOperation } from '../../../src/http/api-schema.ts';
import { parametersOf } from '../../../src/http/api-schema.ts';
import { apiOperations } from '../../../src/http/openapi-operations.ts';
import { appendEvents, webhookId } from '../../../src/outbox/append.ts';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';
import { membershipEvent } from '../../support/webhook-events.ts';

const api = useApi();
const { post, put } = api;

type Ids = Readonly<Record<string, string>>;

/** One of everything: Globex's where it can have one, else the instance's. */
async function everything(): Promise<Ids> {
  const { db } = api.database;
  const { globex } = api;
  const protocol = samlProtocol;
  const connection = (await post('/v1/connections', { display_name: 'Globex', protocol, workspace: 'globex' })).body
    .connection_id;
  const sync_list = [{ workspace: 'globex', is_default: true }];
  const shared = (await post('/v1/connections', { display_name: 'Shared', protocol, sync_list })).body.connection_id;
  await post(`/v1/connections/${connection}/domains`, { domain: 'globex.example', status: 'allowed' });
  const groups = await put(`/v1/workspaces/${globex}/app-groups`, { groups: [{ name: 'engineers' }] });
  const userId = randomUUID();
  await db('users').insert({ user_id: userId, email: 'eve@globex.example' });
  await db('memberships').insert({ workspace_id: globex, user_id: userId, role: 'builder', connection_id: connection });
  await db('login_traces').insert({
    login_id: randomUUID(),
    connection_id: connection,
    outcome: 'signed_in',
    detail: {},
    occurred_at: new Date(),
  });
  const { body: key } = await post('/v1/api-keys', { name: 'x', scope: `workspace:${globex}` });
  const change = { kind: 'connection', connection_id: connection, group_sync: { mapping: 'a -> b' } };
  const plan = await post('/v1/plans', { change });
  const endpoint = await post('/v1/endpoints', { url: 'https://app.example.com/hooks', snapshot: true });
  const replay = await post(`${endpoint.headers.location}/replays`, { exhausted: true });
  await put('/v1/clients/app', { name: 'App', redirect_uris: ['https://app.example.com/cb'], client_secret: 's'.repeat(32) });
  const [eventId = ''] = await db.transaction((tx) =>
    appendEvents(tx, [membershipEvent({ workspaceId: globex, userId })], { now: new Date() }),
  );
  await untilEventsReadable(db);
  return {
    workspace_id: globex,
    connection_id: connection,
    shared_connection_id: shared,
    domain: 'globex.example',
    group_id: groups.body.data[0].group_id,
    user_id: userId,
    login_id: (await db('login_traces').first('login_id')).login_id,
    key_id: key.key_id,
    plan_id: plan.body.plan_id,
    endpoint_id: endpoint.body.endpoint_id,
    replay_id: replay.body.replay_id,
    snapshot_id: (await api.get(`${endpoint.headers.location}/snapshots`)).body.data[0].snapshot_id,
    client_id: 'app',
    event_id: webhookId(eventId),
  };
}

const nothing = (): Ids => {
  const names = ['workspace', 'connection', 'shared_connection', 'group', 'user', 'login', 'key', 'plan', 'endpoint', 'replay'];
  const ids = [...names, 'snapshot'].map((name) => [`${name}_id`, randomUUID()]);
  return { ...Object.fromEntries(ids), domain: 'nowhere.example', client_id: 'nobody', event_id: webhookId(randomUUID()) };
};

/** Bodies that are taken from who may send them; what is not named takes an empty one. */
const bodies: Readonly<Record<string, object>> = {
  'patch /workspaces/{workspace_id}': { display_name: 'x' },
  'patch /connections/{connection_id}': { display_name: 'x' },
  'post /connections/{connection_id}/workspaces': { workspace: 'acme' },
  'post /connections/{connection_id}/domains': { domain: 'acme.example', status: 'pending' },
  'put /workspaces/{workspace_id}/app-groups': { groups: [] },
  'patch /workspaces/{workspace_id}/app-groups/{group_id}': { name: 'x' },
  'put /workspaces/{workspace_id}/members/{user_id}': { role: 'builder', groups: [] },
  'post /plans/{plan_id}/apply': { hash: 'x' },
  'post /endpoints/{endpoint_id}/replays': { exhausted: true },
};

/** Connections of the instance have one, and they are no business of any workspace. */
const syncList = /^\/connections\/\{connection_id\}\/workspaces/;

async function ask({ method, path }: DeclaredOperation, ids: Ids, key: string) {
  const pattern = path.replace(syncList, '/connections/{shared_connection_id}/workspaces');
  const address = `/v1${pattern.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] as string)}`;
  const call = request(api.server.app)[method](address).set('Authorization', `Bearer ${key}`);
  const answer = method === 'get' || method === 'delete' ? await call : await call.send(bodies[`${method} ${path}`] ?? {});
  const { request_id: _, ...body } = answer.body;
  const headers = Object.keys(answer.headers).filter((name) => name !== 'content-length');
  return { status: answer.status, body, headers: headers.sort() };
}

describe('R13 the key of a workspace', () => {
  const named = apiOperations.filter(({ path, scope }) => scope !== 'public' && parametersOf(path).length > 0);
  const writes = ['connections', 'workspaces', 'memberships', 'app_groups', 'api_keys', 'plans', 'endpoints', 'endpoint_tasks'];
  const state = async () => {
    const rows = await Promise.all(
      writes.map((table) => api.database.db.raw('SELECT t::text AS row FROM ?? t ORDER BY 1', table)),
    );
    // Who asks is noted with the key.
    return rows.map(({ rows: found }, index) => (writes[index] === 'api_keys' ? found.length : found));
  };

  it('is told the same of what others have and of what nobody has, by every operation, and changes nothing', async () => {
    const theirs = await everything();
    const before = await state();
    for (const operation of named) {
      const name = `${operation.method} ${operation.path}`;
      const answer = await ask(operation, theirs, api.keys.acme);
      expect(answer, name).toEqual(await ask(operation, nothing(), api.keys.acme));
      expect(answer.status, name).toBe(operation.scope === 'instance' ? 403 : 404);
    }
    expect(await state()).toEqual(before);
  });

  it('finds its own where the operation is one for workspaces', async () => {
    const own = await everything();
    const reads = named.filter(({ method, path, scope }) => method === 'get' && scope !== 'instance' && !syncList.test(path));
    for (const operation of reads) {
      const name = `${operation.method} ${operation.path}`;
      expect([name, (await ask(operation, own, api.keys.globex)).status]).toEqual([name, 200]);
    }
  });
});
