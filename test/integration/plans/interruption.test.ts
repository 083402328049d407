import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { fillIdentities } from '../../support/plan-world.ts';

const api = useApi();
const users = 2_000;
const program = fileURLToPath(new URL('apply-process.ts', import.meta.url));

async function planned(connectionId: string, mapping: string) {
  const change = { kind: 'connection', connection_id: connectionId, group_sync: { mapping } };
  return (await api.post('/v1/plans', { change })).body as { plan_id: string; hash: string; summary: { changed: number } };
}

async function eventCounts(): Promise<{ events: number; members: number; doubled: number; versions: number[] }> {
  const { rows } = await api.database.db.raw(
    `SELECT count(*)::int AS events, count(DISTINCT user_id)::int AS members,
            count(*)::int - count(DISTINCT (user_id, payload->'data'->>'version'))::int AS doubled,
            array_agg(DISTINCT (payload->'data'->>'version')::int) AS versions
       FROM events WHERE type LIKE 'membership.%'`,
  );
  return rows[0];
}

it('R39 goes on where a killed process stopped, and tells each change exactly once', async () => {
  await api.put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'engineers' }] });
  const made = await api.post('/v1/connections', {
    workspace: api.acme,
    display_name: 'Okta',
    protocol: samlProtocol,
    group_sync: { enabled: true },
  });
  const connectionId = made.body.connection_id as string;
  await fillIdentities(api.database.db, connectionId, users, `'["Eng"]'::jsonb`);
  const plan = await planned(connectionId, 'Eng -> engineers');
  expect(plan.summary.changed).toBe(users);
  const { plan_id: planId, hash } = plan;
  const progress = async () => (await api.get(`/v1/plans/${planId}`)).body;

  const child = spawn(process.execPath, [program, api.database.url, planId, hash], { stdio: 'inherit' });
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
  while (((await progress()).progress?.changed ?? 0) < 200) await sleep(5);
  child.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');

  const interrupted = await progress();
  expect(interrupted).toMatchObject({ status: 'applying', progress: { total: users } });
  expect(interrupted.progress.changed).toBeLessThan(users);
  // What is told is what was done: no batch is half.
  expect((await eventCounts()).events).toBe(interrupted.progress.changed);

  const resumed = await api.post(`/v1/plans/${planId}/apply`, { hash });
  expect(resumed.status).toBe(200);
  expect(resumed.body).toMatchObject({ status: 'applied', progress: { examined: users, changed: users, total: users } });
  expect(await eventCounts()).toEqual({ events: users, members: users, doubled: 0, versions: [1] });
  const { rows } = await api.database.db.raw(
    `SELECT count(*)::int AS members, min(cardinality(group_ids)) AS least FROM memberships WHERE workspace_id = ?`,
    [api.acme],
  );
  expect(rows).toEqual([{ members: users, least: 1 }]);
}, 60_000);

it('R39 lets two who apply the same plan at once share the work, and tells each change exactly once', async () => {
  await api.database.db.raw('TRUNCATE users CASCADE');
  await api.put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'engineers' }] });
  const made = await api.post('/v1/connections', {
    workspace: api.acme,
    display_name: 'Okta',
    protocol: samlProtocol,
    group_sync: { enabled: true },
  });
  await fillIdentities(api.database.db, made.body.connection_id, users, `'["Eng"]'::jsonb`);
  const { plan_id: planId, hash } = await planned(made.body.connection_id, 'Eng -> engineers');
  const answers = await Promise.all([1, 2, 3].map(() => api.post(`/v1/plans/${planId}/apply`, { hash })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(await eventCounts()).toEqual({ events: users, members: users, doubled: 0, versions: [1] });
});
