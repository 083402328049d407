import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { type CommandOptions, rollcallOn } from '../../support/command-line.ts';
import { accessIn, loginsOn, membershipEvents } from '../../support/plan-world.ts';

const api = useApi();
const folder = mkdtempSync(join(tmpdir(), 'rollcall-members-'));
const path = join(folder, 'rollcall.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const oidc = { type: 'oidc', discovery_url: 'https://idp.example.com', client_id: 'rollcall', client_secret: null };
const groups = (requiresRole: string | null) => [{ name: 'support', requires_role: requiresRole }, 'sales'];

function declaration({
  mapping = 'Help -> support',
  app_groups = groups(null) as unknown,
  ...rest
}: Record<string, unknown> = {}) {
  return {
    workspaces: [{ slug: 'acme', display_name: 'Acme', app_groups }],
    connections: [{ workspace: 'acme', display_name: 'Oidc', protocol: oidc, group_sync: { enabled: true, mapping } }],
    ...rest,
  };
}

function apply(given: object, args: readonly string[] = ['--yes'], options: CommandOptions = {}) {
  writeFileSync(path, JSON.stringify(given));
  return rollcallOn(api.database.url, ['apply', '-f', path, ...args], options);
}

const access = () => accessIn(api.database.db, api.acme);
const events = async () => (await membershipEvents(api.database.db)).map(({ type, user, cause }) => `${type} ${user} ${cause}`);
const clearEvents = () => api.database.db.raw('TRUNCATE events');

let connectionId = '';
beforeEach(async () => {
  await api.database.db.raw('TRUNCATE users, plans CASCADE');
  expect(await apply(declaration())).toMatchObject({ exitCode: 0, err: '' });
  [{ connection_id: connectionId }] = await api.database.db('connections').select('connection_id');
  const logIn = loginsOn(api.database.db);
  await logIn(connectionId, 'ann', ['Help', 'sales']);
  await logIn(connectionId, 'bob', ['Help']);
  await clearEvents();
});

describe('rollcall apply', () => {
  it('R19 R39 brings members in line at once when a group requires another role, with an event each', async () => {
    const { exitCode, out } = await apply(declaration({ app_groups: groups('builder') }));
    expect(exitCode).toBe(0);
    expect(out).toMatch(/^acme +ann@example\.com +end-user -> builder/m);
    expect(out).toContain('1 change made. Members changed: 2.');
    expect(await access()).toEqual({ ann: 'builder sales support', bob: 'builder support' });
    expect(await events()).toEqual(['membership.updated ann@example.com plan', 'membership.updated bob@example.com plan']);
  });

  it('R39 brings members in line at once when a mapping changes', async () => {
    expect((await apply(declaration({ mapping: 'Help -> support, Help -> sales' }))).exitCode).toBe(0);
    expect(await access()).toEqual({ ann: 'end-user sales support', bob: 'end-user sales support' });
    expect(await events()).toEqual(['membership.updated bob@example.com plan']);
  });

  it('R27 leaves members alone whom a file that says nothing new would change', async () => {
    const { user_id: userId } = await api.database.db('users').where({ email: 'bob@example.com' }).first('user_id');
    const { group_id: support } = await api.database.db('app_groups').where({ name: 'support' }).first('group_id');
    const edit = await api.put(`/v1/workspaces/${api.acme}/members/${userId}`, { role: 'admin', groups: [support] });
    expect(edit.status).toBe(200);
    expect((await apply(declaration())).out).toMatch(/No change\.\n$/);
    expect((await access()).bob).toBe('admin support');
  });

  it('writes the audit log with values before and after, secrets redacted', async () => {
    await api.database.db('audit_log').delete();
    await apply(declaration({ mapping: 'Help -> sales', app_groups: groups('builder') }), ['--yes', '--force']);
    const entries = await api.database.db('audit_log').where({ action: 'rollcall apply' }).orderBy('entry_id');
    expect(entries).toMatchObject([
      {
        resource: 'app-groups',
        actor_kind: 'command_line',
        actor_id: 'tester',
        workspace_id: api.acme,
        before: [{ name: 'support', requires_role: null }],
        after: [{ name: 'support', requires_role: 'builder' }],
      },
      {
        resource: 'connections',
        resource_id: connectionId,
        before: { group_sync: { mapping: { rules: [{ to: 'support' }] } } },
        after: { group_sync: { mapping: { rules: [{ to: 'sales' }] } } },
      },
    ]);
  });
});

describe('rollcall apply asks first', () => {
  const changed = () => declaration({ mapping: 'Help -> support, Help -> sales' });
  const untouched = async () => {
    expect(await access()).toEqual({ ann: 'end-user sales support', bob: 'end-user support' });
    expect(await api.database.db('plans').where({ status: 'ready' })).toEqual([]);
  };

  it('without a terminal and without --yes prints the plan, changes nothing and ends with 6', async () => {
    const { exitCode, out, err } = await apply(changed(), []);
    expect(exitCode).toBe(6);
    expect(err).toContain('--yes');
    expect(out).toContain('connection "Oidc" of acme: changed (group_sync)');
    expect(out).toMatch(/^acme +bob@example\.com +end-user +sales$/m);
    expect(out).toContain('1 change would be made. Nothing was changed.');
    await untouched();
  });

  it('on a terminal takes a no for a no, and a yes for a yes', async () => {
    const asked: string[] = [];
    const answer = (said: boolean) => ({
      isTerminal: true,
      confirm: async (question: string) => {
        asked.push(question);
        return said;
      },
    });
    const no = await apply(changed(), [], answer(false));
    expect(no.exitCode).toBe(6);
    expect(no.out).toContain('\u001b[32msales\u001b[0m');
    await untouched();
    expect((await apply(changed(), [], answer(true))).exitCode).toBe(0);
    expect((await access()).bob).toBe('end-user sales support');
    expect(asked).toEqual(['Apply this?', 'Apply this?']);
    // Nothing to do is nothing to ask.
    expect((await apply(changed(), [], answer(false))).exitCode).toBe(0);
    expect(asked).toHaveLength(2);
  });

  it('with --dry-run does nothing, also with --yes, and ends with 0', async () => {
    const { exitCode, out } = await apply(changed(), ['--dry-run', '--yes']);
    expect({ exitCode, last: out.trimEnd().split('\n').at(-1) }).toEqual({
      exitCode: 0,
      last: '1 change would be made. Nothing was changed.',
    });
    await untouched();
  });

  it('with --json writes one document, whatever comes of it', async () => {
    const planned = JSON.parse((await apply(changed(), ['--json'])).out);
    expect(planned).toMatchObject({
      outcome: 'planned',
      changes: [{ action: 'none' }, { action: 'none' }, { subject: 'connection "Oidc" of acme', action: 'changed' }],
      members: [{ user: { email: 'bob@example.com' }, added: [{ name: 'sales' }] }],
      summary: { examined: 2, gaining: 1, losing: 0 },
    });
    const applied = JSON.parse((await apply(changed(), ['--json', '--yes'])).out);
    expect(applied).toMatchObject({ outcome: 'applied', result: { members_changed: 1, secrets: [] } });
    expect(JSON.parse((await apply(changed(), ['--json', '--yes'])).out)).toMatchObject({ outcome: 'no_change', members: [] });
  });
});

describe('rollcall apply refuses', () => {
  it('R39 what takes something from more members than the threshold allows, unless --force is given', async () => {
    const { exitCode, out, err } = await apply(declaration({ mapping: 'Help -> sales' }));
    expect(exitCode).toBe(4);
    expect(err).toContain('2 of 2 members (100 %) would lose something: more than 20 % need --force');
    expect(out).toContain('2 lose (100 % of the members)');
    expect(await access()).toEqual({ ann: 'end-user sales support', bob: 'end-user support' });
    expect((await apply(declaration({ mapping: 'Help -> sales' }), ['--yes', '--force'])).exitCode).toBe(0);
    expect(await access()).toEqual({ ann: 'end-user sales', bob: 'end-user sales' });
  });

  it.each([
    ['somebody logged in with other groups', () => loginsOn(api.database.db)(connectionId, 'bob', ['sales'])],
    ['what the file is about was changed', () => api.patch(`/v1/workspaces/${api.acme}`, { display_name: 'Acme Inc.' })],
    ['the catalogue was changed', () => api.put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'new' }] })],
  ])('R39 a plan that is stale: between plan and confirmation %s', async (_what, meanwhile) => {
    const confirm = async () => {
      await meanwhile();
      return true;
    };
    const changed = declaration({ mapping: 'Help -> support, Help -> sales' });
    const { exitCode, err } = await apply(changed, [], { confirm });
    expect(exitCode).toBe(4);
    expect(err).toContain('the world moved since the plan was made');
    expect((await events()).filter((event) => event.endsWith(' plan'))).toEqual([]);
    expect((await apply(changed)).exitCode).toBe(0);
  });

  it('a workspace that is archived, and takes another one', async () => {
    await api.database.db('workspaces').where({ slug: 'globex' }).update({ status: 'archived' });
    const refused = await apply({ workspaces: [{ slug: 'globex' }] });
    expect(refused.exitCode).toBe(4);
    expect(refused.err).toContain('workspaces.0.slug: this workspace is archived');
    expect((await apply({ workspaces: [{ slug: 'initech' }] })).exitCode).toBe(0);
  });

  it('fields that it does not know, by their paths', async () => {
    const { exitCode, err } = await apply({
      workspaces: [{ slug: 'acme', colour: 'red' }],
      connections: [{ display_name: 'A', protocol: oidc, email_domains: [{ domain: 'a.example', since: 1 }] }],
      endpoints: [{ url: 'https://app.example.com', retries: 3 }],
    });
    expect(exitCode).toBe(4);
    for (const field of ['workspaces.0.colour', 'connections.0.email_domains.0.since', 'endpoints.0.retries']) {
      expect(err).toContain(`${field}: there is no such field`);
    }
  });
});

describe('e-mail domains of a file', () => {
  const withDomains = (...domains: unknown[]) => {
    const { connections, ...rest } = declaration();
    return { ...rest, connections: connections.map((connection) => ({ ...connection, email_domains: domains })) };
  };
  const stored = async () =>
    Object.fromEntries(
      (await api.database.db('connection_domains').orderBy('domain')).map(({ domain, status }) => [domain, status]),
    );

  it('R33 are allowed as they are, keep what DNS proved, and go only with --prune', async () => {
    expect((await apply(withDomains('Acme.example', { domain: 'b.example', status: 'pending' }))).exitCode).toBe(0);
    expect(await stored()).toEqual({ 'acme.example': 'allowed', 'b.example': 'pending' });
    await api.database
      .db('connection_domains')
      .where({ domain: 'acme.example' })
      .update({ status: 'verified', verified_by: 'dns', verified_at: new Date() });
    expect((await apply(withDomains('acme.example', 'b.example'))).out).toContain(
      'e-mail domains of "Oidc": changed (1 changed)',
    );
    expect(await stored()).toEqual({ 'acme.example': 'verified', 'b.example': 'allowed' });
    expect((await apply(withDomains('acme.example'))).out).toMatch(/No change\.\n$/);
    // A file that leaves the list out says nothing about domains.
    expect((await apply(declaration(), ['--yes', '--prune'])).exitCode).toBe(0);
    expect(await stored()).toEqual({ 'acme.example': 'verified', 'b.example': 'allowed' });
    expect((await apply(withDomains('acme.example'), ['--yes', '--prune'])).out).toContain('changed (1 removed)');
    expect(await stored()).toEqual({ 'acme.example': 'verified' });
  });

  it('R33 are refused twice and if they are none', async () => {
    const { exitCode, err } = await apply(withDomains('acme.example', 'ACME.example', 'not a domain'));
    expect(exitCode).toBe(4);
    expect(err).toContain('connections.0.email_domains.2');
  });
});
