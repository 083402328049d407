import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { commandEnvironment, rollcallOn } from '../../support/command-line.ts';
import { fillIdentities } from '../../support/plan-world.ts';

const api = useApi();
const users = 3_000;
const folder = mkdtempSync(join(tmpdir(), 'rollcall-interrupted-'));
const path = join(folder, 'rollcall.yaml');
const program = fileURLToPath(new URL('../../../src/cli/rollcall.ts', import.meta.url));
afterAll(() => rmSync(folder, { recursive: true }));

function write(mapping: string): string[] {
  const protocol = { type: 'oidc', discovery_url: 'https://idp.example.com', client_id: 'rollcall', client_secret: null };
  const connection = { workspace: 'acme', display_name: 'Oidc', protocol, group_sync: { enabled: true, mapping } };
  writeFileSync(path, JSON.stringify({ workspaces: [{ slug: 'acme', app_groups: ['engineers'] }], connections: [connection] }));
  return ['apply', '-f', path, '--yes'];
}

const db = () => api.database.db;
const progress = async () =>
  (await db()('plans').where({ status: 'applying' }).first('progress'))?.progress?.changed as number | undefined;

async function told() {
  const { rows } = await db().raw(
    `SELECT count(*)::int AS events, count(DISTINCT user_id)::int AS members FROM events WHERE type LIKE 'membership.%'`,
  );
  return rows[0];
}

it.each([
  ['SIGKILL', null],
  ['SIGINT', 7],
] as const)(
  'R39 an apply that ends by %s is completed by the next one, which tells each change exactly once',
  async (signal, code) => {
    await db().raw('TRUNCATE users, plans CASCADE');
    const runHere = (args: string[]) => rollcallOn(api.database.url, args);
    expect((await runHere(write(''))).exitCode).toBe(0);
    const { connection_id: connectionId } = await db()('connections').first('connection_id');
    await fillIdentities(db(), connectionId, users, `'["Eng"]'::jsonb`);

    const child = spawn(process.execPath, [program, ...write('Eng -> engineers')], {
      env: { ...process.env, ...commandEnvironment(api.database.url) },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.once('exit', (exitCode) => resolve(exitCode)));
    while (((await progress()) ?? 0) < 500 && child.exitCode === null) await sleep(5);
    child.kill(signal);
    expect(await ended).toBe(code);
    const done = await progress();
    expect(done).toBeLessThan(users);
    expect((await told()).events).toBe(done);

    // The same file says nothing new, and yet there is something left to do.
    writeFileSync(path, JSON.stringify({ workspaces: [{ slug: 'acme' }] }));
    const looked = await runHere(['apply', '-f', path]);
    expect(looked).toMatchObject({ exitCode: 6, err: expect.stringContaining('was interrupted') });
    expect((await told()).events).toBe(done);

    const resumed = await runHere(write('Eng -> engineers'));
    expect(resumed.exitCode).toBe(0);
    expect(resumed.err).toContain(`It is complete: ${users} members changed in all.`);
    expect(resumed.out).toMatch(/No change\.\n$/);
    expect(await told()).toEqual({ events: users, members: users });
    const again = await runHere(write('Eng -> engineers'));
    expect(again).toMatchObject({ exitCode: 0, err: '', out: expect.stringMatching(/No change\.\n$/) });
  },
  60_000,
);
