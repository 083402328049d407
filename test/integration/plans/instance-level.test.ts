import { beforeEach, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { accessIn, loginsOn } from '../../support/plan-world.ts';

const api = useApi();
let connectionId = '';

beforeEach(async () => {
  await api.database.db.raw('TRUNCATE users CASCADE');
  for (const workspace of [api.acme, api.globex]) {
    await api.put(`/v1/workspaces/${workspace}/app-groups`, { groups: [{ name: 'engineers' }, { name: 'support' }] });
  }
  const made = await api.post('/v1/connections', {
    display_name: 'Okta',
    protocol: samlProtocol,
    group_sync: { enabled: true, mapping: 'Eng -> engineers' },
    sync_list: [{ workspace: 'acme', is_default: true }, { workspace: 'globex' }],
  });
  connectionId = made.body.connection_id;
  const logIn = loginsOn(api.database.db);
  await logIn(connectionId, 'ann', ['Eng', 'Help']);
  await logIn(connectionId, 'bob', ['Help']);
});

const plan = (change: object, key?: string) => api.post('/v1/plans', { change: { connection_id: connectionId, ...change } }, key);
const entry = { kind: 'sync_list_entry', workspace: 'globex', mapping: 'Help -> support' };

it('R9 R39 an override of one workspace touches its members alone, and is taken back by null', async () => {
  const made = await plan(entry);
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  expect(made.body.summary).toMatchObject({ examined: 2, changed: 2, gaining: 2, losing: 1 });
  const applied = await api.post(`/v1/plans/${made.body.plan_id}/apply`, { hash: made.body.hash, force: true });
  expect(applied.body.status).toBe('applied');
  expect(await accessIn(api.database.db, api.globex)).toEqual({ ann: 'end-user support', bob: 'end-user support' });
  expect(await accessIn(api.database.db, api.acme)).toEqual({ ann: 'end-user engineers', bob: 'end-user' });

  // The instance's mapping moves: the overriding workspace does not follow.
  const inherited = await plan({ kind: 'connection', group_sync: { mapping: 'Help -> engineers' } });
  const { body } = await api.get(`/v1/plans/${inherited.body.plan_id}/members`);
  expect(body.data.map(({ workspace }: { workspace: { slug: string } }) => workspace.slug)).toEqual(['acme']);

  const reset = await plan({ ...entry, mapping: null });
  expect(reset.body.summary).toMatchObject({ changed: 2, gaining: 1, losing: 2 });
});

it('R39 counts a user in two workspaces as one seat', async () => {
  const made = await plan({ kind: 'connection', group_sync: { no_match: 'deny' } });
  expect(made.body.summary).toMatchObject({ examined: 4, removed: 2, seats: { before: 2, after: 1 } });
});

it('R13 R39 an instance-level connection is planned for with a key of instance scope only', async () => {
  const changes = [entry, { kind: 'connection', group_sync: { mapping: 'Help -> support' } }];
  for (const change of changes) {
    expect((await plan(change, api.keys.globex)).status).toBe(404);
    expect((await plan(change)).status).toBe(201);
  }
  const own = { kind: 'catalogue', workspace: api.globex, upsert: [{ name: 'engineers', requires_role: 'builder' }] };
  const foreign = { ...own, workspace: 'acme' };
  expect((await api.post('/v1/plans', { change: foreign }, api.keys.globex)).status).toBe(404);
  const made = await api.post('/v1/plans', { change: own }, api.keys.globex);
  expect(made.body).toMatchObject({ workspace_id: api.globex, summary: { examined: 2, changed: 1, gaining: 1 } });
});

it('R39 refuses a workspace that is not listed, and an entry without a change', async () => {
  await api.post('/v1/workspaces', { slug: 'initech' });
  expect((await plan({ ...entry, workspace: 'initech' })).status).toBe(404);
  expect((await plan({ kind: 'sync_list_entry', workspace: 'globex' })).status).toBe(422);
  expect((await plan(entry)).status).toBe(201);
});
