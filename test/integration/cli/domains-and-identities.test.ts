import { beforeEach, describe, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { rollcallOn } from '../../support/command-line.ts';
import { loginsOn } from '../../support/plan-world.ts';

const api = useApi();
const rollcall = (...args: string[]) => rollcallOn(api.database.url, args);
const db = () => api.database.db;

let users: Record<'ann' | 'bob', string>;
beforeEach(async () => {
  await db().raw('TRUNCATE users CASCADE');
  const protocol = { type: 'oidc', discovery_url: 'https://idp.example.com', client_id: 'rollcall', client_secret: null };
  const connection = { workspace: api.acme, display_name: 'Okta', protocol, group_sync: { enabled: true } };
  const made = await api.post('/v1/connections', connection);
  await api.post('/v1/connections', { ...connection, workspace: api.globex, display_name: 'Other' });
  const logIn = loginsOn(db());
  const ann = await logIn(made.body.connection_id, 'ann', []);
  const bob = await logIn(made.body.connection_id, 'bob', []);
  users = { ann: ann.userId, bob: bob.userId };
});

describe('rollcall domains', () => {
  const stored = async () =>
    (await db()('connection_domains').orderBy('domain')).map(({ domain, status }) => `${domain} ${status}`);

  it('R33 adds, lists and removes the domains of a connection, each in the audit log', async () => {
    const added = await rollcall('domains', 'add', 'Acme.example', '--connection', 'Okta');
    expect(added).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^acme\.example +allowed +rollcall-verify=/m) });
    await rollcall('domains', 'add', 'b.example', '--connection', 'Okta', '--status', 'pending');
    expect(await stored()).toEqual(['acme.example allowed', 'b.example pending']);
    const { data } = JSON.parse((await rollcall('domains', 'list', '--connection', 'Okta', '--json')).out);
    expect(data).toMatchObject([
      { domain: 'acme.example', status: 'allowed', txt_record: { name: 'acme.example' } },
      { domain: 'b.example', status: 'pending' },
    ]);
    expect((await rollcall('domains', 'remove', 'b.example', '--connection', 'Okta')).exitCode).toBe(0);
    expect(await stored()).toEqual(['acme.example allowed']);
    const audited = await db()('audit_log').where({ resource: 'domains', actor_kind: 'command_line' }).orderBy('entry_id');
    expect(audited.map(({ action, before, after }) => [action, before?.status ?? null, after?.status ?? null])).toEqual([
      ['rollcall domains add', null, 'allowed'],
      ['rollcall domains add', null, 'pending'],
      ['rollcall domains remove', 'pending', null],
    ]);
  });

  it('R13 shows no control characters of a name that a workspace chose', async () => {
    const name = 'Okta\u001b[2J\u202e';
    await db()('connections').where({ display_name: 'Okta' }).update({ display_name: name });
    await rollcall('domains', 'add', 'a.example', '--connection', name);
    const { exitCode, out } = await rollcall('domains', 'remove', 'a.example', '--connection', name);
    expect([exitCode, out]).toEqual([0, 'Okta\ufffd[2J\ufffd may not speak for a.example any more.\n']);
  });

  it('refuses what is no domain, no connection, not there, or not proved', async () => {
    const refused = async (...args: string[]) => (await rollcall('domains', ...args)).exitCode;
    expect(await refused('add', 'nonsense', '--connection', 'Okta')).toBe(4);
    expect(await refused('add', 'a.example', '--connection', 'Nowhere')).toBe(4);
    expect(await refused('remove', 'a.example', '--connection', 'Okta')).toBe(4);
    expect(await refused('add', 'a.example', '--connection', 'Okta', '--status', 'mine')).toBe(2);
    expect(await stored()).toEqual([]);
    await rollcall('domains', 'add', 'unproved.invalid', '--connection', 'Okta', '--status', 'pending');
    const verified = await rollcall('domains', 'verify', 'unproved.invalid', '--connection', 'Okta');
    expect(verified.exitCode).toBe(4);
    expect(await stored()).toEqual(['unproved.invalid pending']);
  });
});

describe('rollcall identities', () => {
  const holders = async () =>
    Object.fromEntries((await db()('identities').orderBy('subject')).map(({ subject, user_id: userId }) => [subject, userId]));

  it('R33 lists how a person signs in', async () => {
    const { out } = await rollcall('identities', 'list', 'ann@example.com');
    expect(out).toMatch(/^Okta +ann +/m);
    expect(JSON.parse((await rollcall('identities', 'list', users.ann, '--json')).out).data).toMatchObject([
      { connection: 'Okta', subject: 'ann' },
    ]);
  });

  it('shows a subject with control characters as JSON escapes them, all of them', async () => {
    const subject = 'ann\u009b2J\u001b[2J\u007f';
    await db()('identities').where({ user_id: users.ann }).update({ subject });
    const { out } = await rollcall('identities', 'list', users.ann, '--json');
    expect(JSON.parse(out).data).toMatchObject([{ subject }]);
    expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it('R33 moves a subject to another person, who signs in by it from then on', async () => {
    const moved = await rollcall('identities', 'move', '--connection', 'Okta', '--subject', 'ann', '--to', 'bob@example.com');
    expect(moved.exitCode).toBe(0);
    // Its tokens are the serving process's own where there is no Redis.
    expect(moved.err).toContain('REDIS_URL');
    expect(await holders()).toEqual({ ann: users.bob, bob: users.bob });
    const entry = await db()('audit_log').where({ action: 'rollcall identities move' }).first();
    expect(entry).toMatchObject({ resource_id: users.ann, before: { user_id: users.ann }, after: { user_id: users.bob } });
    expect(JSON.stringify(entry)).not.toContain('"ann"');
  });

  it('R33 changes a subject, and takes one away', async () => {
    const rebound = await rollcall('identities', 'rebind', 'ann@example.com', '--connection', 'Okta', '--subject', 'ann-2');
    expect(rebound).toMatchObject({ exitCode: 0, out: expect.stringContaining('ann-2') });
    expect(await holders()).toEqual({ 'ann-2': users.ann, bob: users.bob });
    expect((await rollcall('identities', 'unlink', users.bob, '--connection', 'Okta', '--subject', 'bob')).exitCode).toBe(0);
    expect(await holders()).toEqual({ 'ann-2': users.ann });
  });

  it.each([
    ['a subject that nobody has', ['move', '--connection', 'Okta', '--subject', 'eve', '--to', 'bob@example.com']],
    ['a person who is not there', ['move', '--connection', 'Okta', '--subject', 'ann', '--to', 'eve@example.com']],
    ['the person who has it', ['move', '--connection', 'Okta', '--subject', 'ann', '--to', 'ann@example.com']],
    ['a subject that is taken', ['rebind', 'ann@example.com', '--connection', 'Okta', '--subject', 'bob']],
    ['another connection', ['unlink', 'ann@example.com', '--connection', 'Other', '--subject', 'ann']],
  ])('refuses %s', async (_what, args) => {
    const before = await holders();
    expect((await rollcall('identities', ...args)).exitCode).toBe(4);
    expect(await holders()).toEqual(before);
  });
});
