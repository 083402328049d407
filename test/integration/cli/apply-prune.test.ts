import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { rollcallOn } from '../../support/command-line.ts';
import { accessIn, loginsOn, membershipEvents } from '../../support/plan-world.ts';

const api = useApi();
const folder = mkdtempSync(join(tmpdir(), 'rollcall-prune-'));
const path = join(folder, 'rollcall.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const protocol = { type: 'oidc', discovery_url: 'https://idp.example.com', client_id: 'rollcall', client_secret: null };
const group_sync = { enabled: true };
const listed = (workspace: string, more: object = {}) => ({ workspace, ...more });
const instance = (...sync_list: object[]) => ({ display_name: 'Group', protocol, group_sync, sync_list });
const own = (workspace: string) => ({ workspace, display_name: 'Own', protocol, group_sync });
const client = (client_id: string) => ({
  client_id,
  name: client_id,
  client_secret: 's'.repeat(32),
  redirect_uris: ['https://app.example.com/callback'],
});
const endpoint = (name: string) => ({ url: `https://${name}.example.com/hooks` });

const whole = {
  workspaces: [{ slug: 'acme', display_name: 'Acme', app_groups: ['support', 'sales'] }, { slug: 'globex' }, { slug: 'initech' }],
  connections: [
    instance(listed('acme', { is_default: true }), listed('globex'), listed('initech', { claim_name: 'roles' })),
    own('globex'),
  ],
  clients: [client('app'), client('old')],
  endpoints: [endpoint('app'), endpoint('old')],
};

function apply(given: object, ...args: string[]) {
  writeFileSync(path, JSON.stringify(given));
  return rollcallOn(api.database.url, ['apply', '-f', path, '--yes', ...args]);
}

const db = () => api.database.db;
const accessTo = async (slug: string) => {
  const { workspace_id: id } = await db()('workspaces').where({ slug }).first('workspace_id');
  return accessIn(db(), id);
};
const events = async () => (await membershipEvents(db())).map(({ type, user }) => `${type} ${user.split('@')[0]}`);
const statuses = async () =>
  Object.fromEntries((await db()('workspaces').orderBy('slug')).map(({ slug, status }) => [slug, status]));
const list = async () =>
  (
    await db()('connection_workspaces as s')
      .join('workspaces as w', 'w.workspace_id', 's.workspace_id')
      .orderBy('slug')
      .select('slug', 'is_default')
  ).map(({ slug, is_default: isDefault }) => (isDefault ? `${slug} (default)` : slug));

let group = '';
beforeEach(async () => {
  await db().raw('TRUNCATE users, plans CASCADE');
  expect(await apply(whole)).toMatchObject({ exitCode: 0, err: '' });
  [{ connection_id: group }] = await db()('connections').where({ display_name: 'Group' }).select('connection_id');
  const [{ connection_id: owned }] = await db()('connections').where({ display_name: 'Own' }).select('connection_id');
  const logIn = loginsOn(db());
  await logIn(group, 'ann', ['support']);
  await logIn(owned, 'bob', ['builder']);
  for (const name of ['c', 'd', 'e', 'f', 'g', 'h']) await logIn(group, name, []);
  await db().raw('TRUNCATE events');
});

const without = (slug: string) => ({
  ...whole,
  workspaces: whole.workspaces.filter((workspace) => workspace.slug !== slug),
  connections: [
    instance(
      ...[listed('acme', { is_default: true }), listed('globex'), listed('initech', { claim_name: 'roles' })].filter(
        ({ workspace }) => workspace !== slug,
      ),
    ),
    ...(slug === 'globex' ? [] : [own('globex')]),
  ],
});

describe('rollcall apply --prune', () => {
  it('archives a workspace that the file does not name: members lose access with events, connections go off', async () => {
    const kept = await apply(without('globex'), '--force');
    expect(kept.exitCode).toBe(0);
    expect(await statuses()).toMatchObject({ globex: 'active' });
    // Back on the list, everybody whom the connection knows is given what a login would give.
    await apply(whole, '--force');
    await db().raw('TRUNCATE events');

    const planned = await apply(without('globex'), '--prune', '--dry-run');
    expect(planned.out).toContain('workspace globex: removed (archived: 1 member loses access)');
    expect(planned.out).toContain(
      'workspace globex on the sync list of connection "Group" of the instance: removed (7 members lose access)',
    );
    expect(planned.out).toMatch(/^globex +bob@example\.com +builder -> none$/m);
    expect(await events()).toEqual([]);

    const { exitCode, out } = await apply(without('globex'), '--prune', '--force');
    expect(exitCode).toBe(0);
    expect(out).toContain('connection "Own" of globex: removed (switched off');
    expect(await statuses()).toEqual({ acme: 'active', globex: 'archived', initech: 'active' });
    expect(Object.values(await accessTo('globex')).filter((access) => access !== 'none')).toEqual([]);
    expect((await events()).sort()).toEqual(
      ['ann', 'bob', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => `membership.removed ${name}`),
    );
    expect(await db()('connections').where({ display_name: 'Own' }).first()).toMatchObject({ enabled: false });
    expect(await list()).toEqual(['acme (default)', 'initech']);
    expect((await accessTo('acme')).ann).toBe('end-user support');
    const audited = await db()('audit_log')
      .where({ action: 'rollcall apply', resource: 'workspaces' })
      .orderBy('entry_id', 'desc')
      .first();
    expect(audited).toMatchObject({
      before: { slug: 'globex', status: 'active' },
      after: { slug: 'globex', status: 'archived' },
    });

    expect((await apply(without('globex'), '--prune')).out).toMatch(/No change\.\n$/);
  });

  it('R39 counts those who lose access towards the threshold', async () => {
    const { exitCode, err } = await apply(
      { workspaces: [{ slug: 'acme' }, { slug: 'initech' }], connections: without('globex').connections },
      '--prune',
    );
    expect(exitCode).toBe(4);
    expect(err).toContain('need --force');
    expect(await statuses()).toMatchObject({ globex: 'active' });
    expect(await list()).toHaveLength(3);
  });

  it('takes app groups from their holders with events, then deletes them; a list that is left out stays', async () => {
    const silent = { ...whole, workspaces: [{ slug: 'acme', display_name: 'Acme' }, { slug: 'globex' }, { slug: 'initech' }] };
    expect((await apply(silent, '--prune')).out).toMatch(/No change\.\n$/);
    const fewer = {
      ...whole,
      workspaces: [{ ...whole.workspaces[0], app_groups: ['sales'] }, { slug: 'globex' }, { slug: 'initech' }],
    };
    expect((await apply(fewer)).out).toMatch(/No change\.\n$/);
    const { exitCode, out } = await apply(fewer, '--prune');
    expect({ exitCode, err: out }).toMatchObject({ exitCode: 0 });
    expect(out).toContain('app groups of acme: changed (1 removed)');
    expect(out).toMatch(/^acme +ann@example\.com +end-user +support$/m);
    expect((await accessTo('acme')).ann).toBe('end-user');
    expect(await events()).toEqual(['membership.updated ann']);
    expect(await db()('app_groups').pluck('name')).toEqual(['sales']);
    expect((await apply(fewer, '--prune')).out).toMatch(/No change\.\n$/);
  });

  it('removes clients and endpoints that the file does not name, where it has such a list', async () => {
    const fewer = { ...whole, clients: [client('app')], endpoints: [endpoint('app')] };
    expect((await apply(fewer)).out).toMatch(/No change\.\n$/);
    const { clients: _, endpoints: _endpoints, ...silent } = whole;
    expect((await apply(silent, '--prune')).out).toMatch(/No change\.\n$/);
    const { out } = await apply(fewer, '--prune');
    expect(out).toContain('client old: removed');
    expect(out).toContain('endpoint https://old.example.com/hooks: removed');
    expect(await db()('oidc_clients').pluck('client_id')).toEqual(['app']);
    expect(await db()('endpoints').whereNull('deleted_at').pluck('url')).toEqual(['https://app.example.com/hooks']);
    expect((await apply(fewer, '--prune')).out).toMatch(/No change\.\n$/);
  });

  it('keeps a workspace that the file mentions only in passing', async () => {
    const passing = { workspaces: [whole.workspaces[0]], connections: whole.connections };
    expect((await apply(passing, '--prune')).out).toMatch(/No change\.\n$/);
    expect(await statuses()).toEqual({ acme: 'active', globex: 'active', initech: 'active' });
  });
});

describe('workspaces that have to stay', () => {
  it('R11 the last one that is enabled is not removed, nor is the list emptied', async () => {
    const none = await apply({ workspaces: [] }, '--prune', '--force');
    expect(none.exitCode).toBe(4);
    expect(none.err).toMatch(/rollcall\.yaml:1:\d+: workspaces: /);
    const emptied = await apply({ connections: [instance()] }, '--force');
    expect(emptied.exitCode).toBe(4);
    expect(emptied.err).toContain('connections.0.sync_list: keep at least one workspace enabled');
    expect(await list()).toHaveLength(3);
    expect(await events()).toEqual([]);
  });

  it('R7 the default one leaves only where the file names another default that inherits', async () => {
    const left = (next: string) =>
      instance(
        ...[listed('globex'), listed('initech', { claim_name: 'roles' })].map((entry) => ({
          ...entry,
          is_default: entry.workspace === next,
        })),
      );
    const refused = await apply({ connections: [left('initech')] }, '--force');
    expect(refused.exitCode).toBe(4);
    expect(refused.err).toContain('connections.0.sync_list: the workspace named overrides the configuration');
    expect(await list()).toEqual(['acme (default)', 'globex', 'initech']);
    const taken = await apply({ connections: [left('globex')] }, '--force');
    expect(taken.exitCode).toBe(0);
    expect(await list()).toEqual(['globex (default)', 'initech']);
    expect((await accessTo('acme')).ann).toBe('none');
  });

  it('R7 a workspace that is the default of a connection which the file does not name', async () => {
    const { exitCode, err } = await apply({ workspaces: [{ slug: 'globex' }, { slug: 'initech' }] }, '--prune', '--force');
    expect(exitCode).toBe(4);
    expect(err).toContain('acme is not in the file and cannot be removed: this is the default workspace');
    expect(await statuses()).toMatchObject({ acme: 'active' });
  });
});

describe('a workspace that the file takes off a sync list', () => {
  it('R10 ends the access of those who came by that connection, and of nobody else', async () => {
    const fewer = {
      ...whole,
      connections: [instance(listed('acme', { is_default: true }), listed('initech', { claim_name: 'roles' })), own('globex')],
    };
    const logIn = loginsOn(db());
    await logIn(group, 'ann', ['support']);
    await db().raw('TRUNCATE events');
    expect(Object.keys(await accessTo('globex'))).toContain('ann');
    const { exitCode, out } = await apply(fewer, '--force');
    expect(exitCode).toBe(0);
    expect(out).toMatch(/^globex +ann@example\.com +end-user -> none$/m);
    expect(await accessTo('globex')).toMatchObject({ ann: 'none', bob: 'builder' });
    expect(await events()).toContain('membership.removed ann');
    expect(await events()).not.toContain('membership.removed bob');
    expect((await apply(fewer)).out).toMatch(/No change\.\n$/);
  });
});
