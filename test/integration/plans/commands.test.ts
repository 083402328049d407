import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../../src/cli/program.ts';
import { useApi } from '../../support/api-world.ts';
import { accessIn, loginsOn } from '../../support/plan-world.ts';

const api = useApi();
const folder = mkdtempSync(join(tmpdir(), 'rollcall-plan-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function rollcall(args: string[], isTerminal = false) {
  const written = { out: '', err: '' };
  const exitCode = await run(args, {
    env: {
      ROLLCALL_MODE: 'development',
      ROLLCALL_SEALING_KEYS: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
      ROLLCALL_COOKIE_KEYS: `k1:${Buffer.alloc(32, 2).toString('base64')}`,
      DATABASE_URL: api.database.url,
    },
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    isTerminal,
  });
  return { exitCode, ...written };
}

function file(mapping: string): string {
  const path = join(folder, 'rollcall.yaml');
  const connection = {
    workspace: 'acme',
    display_name: 'Oidc',
    protocol: { type: 'oidc', discovery_url: 'https://idp.example.com', client_id: 'rollcall', client_secret: null },
    group_sync: { enabled: true, mapping },
  };
  writeFileSync(
    path,
    JSON.stringify({
      workspaces: [{ slug: 'acme', display_name: 'Acme', app_groups: ['support', 'sales'] }],
      connections: [connection],
    }),
  );
  return path;
}

let userId = '';
beforeEach(async () => {
  await api.database.db.raw('TRUNCATE users CASCADE');
  expect((await rollcall(['apply', '-f', file('Help -> support'), '--yes'])).exitCode).toBe(0);
  const [{ connection_id: connectionId }] = await api.database.db('connections').select('connection_id');
  const logIn = loginsOn(api.database.db);
  userId = (await logIn(connectionId, 'ann', ['Help', 'Sales'])).userId;
  await logIn(connectionId, 'bob', ['Help', 'evil\u001b[2J']);
});

describe('rollcall plan', () => {
  it('R39 shows what a file would change and for whom, and changes nothing', async () => {
    const before = await accessIn(api.database.db, api.acme);
    const { exitCode, out, err } = await rollcall(['plan', '-f', file('Help -> builder, Sales -> sales')]);
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
    expect(out).toContain('connection "Oidc" of acme: changed (group_sync)');
    expect(out).toMatch(/^acme +ann@example\.com +end-user -> builder +sales +support$/m);
    expect(out).toMatch(/^acme +bob@example\.com +end-user -> builder +support$/m);
    expect(out).toContain('2 examined, 2 would change: 2 gain, 2 lose (100 % of the members).');
    expect(out).toContain('Nothing was changed.');
    expect(await accessIn(api.database.db, api.acme)).toEqual(before);
    const none = await rollcall(['plan', '-f', file('Help -> support')]);
    expect(none.out).toContain('No change.');
  });

  it('R39 paints gains green and losses red on a terminal', async () => {
    const { out } = await rollcall(['plan', '-f', file('Sales -> sales')], true);
    expect(out).toContain('\u001b[32msales\u001b[0m');
    expect(out).toContain('\u001b[31msupport\u001b[0m');
  });

  it('R39 writes JSON for programs', async () => {
    const { out } = await rollcall(['plan', '-f', file('Sales -> sales'), '--json']);
    const plan = JSON.parse(out);
    expect(plan.summary).toMatchObject({ examined: 2, changed: 2, gaining: 1, losing: 2, loss_percent: 100 });
    expect(plan.members).toMatchObject([{ user: { email: 'ann@example.com' } }, { user: { email: 'bob@example.com' } }]);
  });

  it('R39 tells errors of the file with their place', async () => {
    const { exitCode, err } = await rollcall(['plan', '-f', file('Help =>')]);
    expect(exitCode).toBe(4);
    expect(err).toContain('connections.0.group_sync.mapping');
  });
});

describe('rollcall simulate and explain', () => {
  it('R38 tells what groups or the last ones of a user would give', async () => {
    const given = await rollcall(['simulate', '--connection', 'Oidc', '--groups', 'Help', 'sales']);
    expect(given.exitCode).toBe(0);
    expect(given.out).toContain('acme: gets end-user, sales, support (by the mapping)');
    expect(given.out).toMatch(/group support +Help +rule 1: Help -> support/);
    const user = await rollcall(['simulate', '--connection', 'Oidc', '--user', 'bob@example.com']);
    expect(user.out).toContain('now: end-user, support');
    expect(user.out).not.toContain('\u001b');
    const json = await rollcall(['simulate', '--connection', 'Oidc', '--user', userId, '--json']);
    expect(JSON.parse(json.out).data).toMatchObject([{ role: 'end-user', groups: [{ name: 'support' }] }]);
    expect((await rollcall(['simulate', '--connection', 'Oidc'])).exitCode).toBe(4);
    expect((await rollcall(['simulate', '--connection', 'nowhere', '--groups', 'x'])).exitCode).toBe(4);
  });

  it('R37 tells why, and why not', async () => {
    const why = await rollcall(['explain', '--workspace', 'acme', '--user', 'ann@example.com']);
    expect(why).toMatchObject({ exitCode: 0, err: '' });
    expect(why.out).toMatch(/group support +Help +rule 1: Help -> support/);
    const whyNot = await rollcall(['explain', '--workspace', 'acme', '--user', 'ann@example.com', '--group', 'sales']);
    expect(whyNot.out).toContain('Why not sales:\n  - no rule leads to "sales"');
    expect(whyNot.out).toContain('differs from "sales" only in case');
    const json = await rollcall(['explain', '--workspace', 'acme', '--user', userId, '--group', 'sales', '--json']);
    expect(JSON.parse(json.out).why_not).toMatchObject({ asked: 'sales', held: false });
    expect((await rollcall(['explain', '--workspace', 'acme', '--user', 'nobody@example.com'])).exitCode).toBe(4);
  });
});
