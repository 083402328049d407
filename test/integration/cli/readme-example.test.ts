import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../src/cli/program.ts';
import { type DemoEnvironment, declarationFile } from '../../../src/demo/declaration.ts';
import { type Demo, startDemo } from '../../../src/demo/demo.ts';
import { readSecrets } from '../../../src/demo/secrets.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createHttpBrowser } from '../../support/http-browser.ts';

const readme = new URL('../../../README.md', import.meta.url);

let folder: string;
let database: TestDatabase;
let demo: Demo | undefined;
let applied: Awaited<ReturnType<typeof rollcall>>;
let variables: DemoEnvironment;

/** The file as somebody copies it out of the README. */
async function exampleOfReadme(): Promise<string> {
  const [, yaml] = /^```yaml\n([\s\S]*?)^```$/m.exec(await readFile(readme, 'utf8')) ?? [];
  return yaml ?? '';
}

async function rollcall(...args: string[]) {
  const { sealingKey, cookieKey } = await readSecrets(folder);
  const written = { out: '', err: '' };
  const exitCode = await run(args, {
    env: {
      ...variables,
      ROLLCALL_MODE: 'development',
      ROLLCALL_SEALING_KEYS: sealingKey,
      ROLLCALL_COOKIE_KEYS: cookieKey,
      ROLLCALL_OUTBOUND_ALLOW_HTTP: 'true',
      DATABASE_URL: database.url,
    },
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
  });
  return { exitCode, ...written };
}

const file = () => join(folder, 'rollcall.yaml');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rollcall-readme-'));
  database = await createTestDatabase();
  await writeFile(file(), await exampleOfReadme());
  demo = await startDemo({
    ports: 0,
    dataFolder: folder,
    databaseUrl: database.url,
    async declare(env) {
      variables = env;
      applied = await rollcall('apply', '-f', file(), '--yes');
    },
  });
}, 60_000);
afterAll(async () => {
  await demo?.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Everything that the file is about, version and time of change included. */
async function stored(): Promise<string> {
  const tables = [
    'workspaces',
    'app_groups',
    'connections',
    'connection_workspaces',
    'oidc_clients',
    'endpoints',
    'memberships',
    'plans',
  ];
  const rows = await Promise.all(tables.map((table) => database.db(table).select('*')));
  return JSON.stringify(rows);
}

describe("the README's declarative file", () => {
  it('is the one of the demo', async () => {
    expect(await exampleOfReadme()).toBe(await readFile(declarationFile, 'utf8'));
  });

  it('builds the demo from nothing', async () => {
    expect(applied).toMatchObject({ exitCode: 0, err: '' });
    expect(applied.out).toMatch(/^6 changes made\.$/m);
  });

  it('R15 R19 R29 lets people sign in by SAML and by OpenID Connect, with the role and groups that the mapping gives', async () => {
    const urls = demo?.urls;
    const bySaml = createHttpBrowser();
    const identityProvider = await bySaml.open(`${urls?.app}/sign-in?with=saml`);
    const answer = await bySaml.submit(identityProvider, { person: 'chiara' });
    const chiara = answer.text.includes('Chiara Marin</h1>') ? answer : await bySaml.submit(answer);
    expect(chiara.text).toContain('<h1>Chiara Marin</h1>');
    expect(chiara.text).toContain('marketing');

    const byOidc = createHttpBrowser();
    const bruno = await byOidc.submit(await byOidc.open(`${urls?.app}/sign-in?with=oidc`), { person: 'bruno' });
    expect(bruno.text).toContain('<h1>Bruno Okafor</h1>');
    const { rows } = await database.db.raw(
      `SELECT u.name, m.role, array(SELECT g.name FROM app_groups g WHERE g.group_id = ANY (m.group_ids)) AS groups
         FROM memberships m JOIN users u ON u.user_id = m.user_id ORDER BY u.name`,
    );
    expect(rows).toEqual([
      { name: 'Bruno Okafor', role: 'builder', groups: ['engineering'] },
      { name: 'Chiara Marin', role: 'end-user', groups: ['marketing'] },
    ]);
  });

  it('changes nothing the second time, and says so, also with --prune', async () => {
    const before = await stored();
    for (const options of [['--yes'], ['--yes', '--prune'], []]) {
      const { exitCode, out } = await rollcall('apply', '-f', file(), ...options);
      expect(exitCode).toBe(0);
      const lines = out.trimEnd().split('\n');
      expect(lines.at(-1)).toBe('No change.');
      expect(lines.slice(0, -1).filter((line) => !line.endsWith(': no change'))).toEqual([]);
    }
    expect(await stored()).toBe(before);
  });
});
