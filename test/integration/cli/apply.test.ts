import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ApplyOptions, applyFile } from '../../../src/cli/apply-command.ts';
import { DeclarationError } from '../../../src/cli/declarative-file.ts';
import { run } from '../../../src/cli/program.ts';
import { createAuditStore } from '../../../src/http/audit-store.ts';
import { createClientStore } from '../../../src/provider/client-store.ts';
import { aMetadata, connectionWorld } from '../../support/connection-world.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { ladder } from '../../support/sync-builder.ts';

let database: TestDatabase;
let folder: string;
let world: ReturnType<typeof connectionWorld>;
const env = {
  ENTRA_CLIENT_SECRET: 'secret of Entra',
  APP_CLIENT_SECRET: 's'.repeat(32),
  WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
};
const example = fileURLToPath(new URL('../../../rollcall.example.yaml', import.meta.url));

beforeAll(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'rollcall-apply-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await database.drop();
});
beforeEach(async () => {
  await database.db.raw('TRUNCATE workspaces, endpoints, oidc_clients, audit_log CASCADE');
  world = connectionWorld(database.db);
  world.documents.set('https://acme.okta.com/app/abc123/sso/saml/metadata', aMetadata);
});

async function apply(text: string, options: Partial<ApplyOptions> = {}): Promise<string[]> {
  const file = join(folder, 'rollcall.yaml');
  writeFileSync(file, text);
  let report = '';
  const out = (written: string) => {
    report += written;
  };
  await applyFile(
    { file, yes: true, ...options },
    {
      stores: {
        db: database.db,
        sealedBox: world.sealedBox,
        connections: world.connections,
        audit: createAuditStore({ db: database.db, now: () => new Date() }),
        ladder,
      },
      env,
      allowHttp: false,
      lossThresholdPercent: 20,
      settleMilliseconds: 0,
      now: () => new Date(),
      log: quietLog,
      terminal: { out, err: out, env: {} },
    },
  );
  return report.trimEnd().split('\n');
}

const counts = async () => {
  const tables = ['workspaces', 'app_groups', 'connections', 'connection_workspaces', 'oidc_clients', 'endpoints'];
  const rows = await Promise.all(tables.map((table) => database.db(table).count()));
  return rows.map(([row]) => Number(row?.count));
};

describe('applying the example file', () => {
  const text = readFileSync(example, 'utf8');

  it('R15 builds everything from nothing, the mapping from text and from JSON; a second time it changes nothing', async () => {
    const first = await apply(text);
    expect(first.at(-1)).toBe('8 changes made.');
    expect(first.filter((line) => line.includes('created')).length).toBe(7);
    expect(await counts()).toEqual([2, 3, 2, 2, 1, 1]);
    const audited = () => database.db('audit_log').orderBy('entry_id').select('actor_kind', 'action', 'resource', 'after');
    const entries = await audited();
    expect(entries).toHaveLength(8);
    expect(entries[0]).toMatchObject({ actor_kind: 'command_line', action: 'rollcall apply', resource: 'workspaces' });
    for (const secret of Object.values(env)) expect(JSON.stringify(entries)).not.toContain(secret);
    const [acme, instance] = await world.connections.list({ limit: 10 });
    expect(acme?.groupSync.mapping.rules).toEqual([
      { from: 'Marketing Team', match: 'exact', to: 'marketing' },
      { from: 'Okta Admins', match: 'exact', to: 'admin' },
      { from: 'eng-*', match: 'glob', to: 'engineers' },
      { from: '^app-(.+)$', match: 'regex', to: '$1' },
    ]);
    expect(instance?.groupSync.mapping).toEqual({
      rules: [
        { from: 'Global Admins', match: 'exact', to: 'admin' },
        { from: 'eng-*', match: 'glob', to: 'engineers' },
      ],
      oneToOne: false,
    });
    const tables = ['workspaces', 'app_groups', 'connections', 'connection_workspaces', 'oidc_clients'];
    const stored = () => Promise.all(tables.map((table) => database.db(table).select('*')));
    const before = await stored();
    const second = await apply(text);
    expect(second.at(-1)).toBe('No change.');
    expect(second.slice(0, -1).every((line) => line.endsWith(': no change'))).toBe(true);
    expect(await stored()).toEqual(before);
  });

  it('keeps secrets sealed and out of the report', async () => {
    const report = await apply(text);
    const rows = JSON.stringify([
      await database.db('connections'),
      await database.db('oidc_clients'),
      await database.db('endpoints'),
    ]);
    for (const secret of Object.values(env)) {
      expect(report.join('\n')).not.toContain(secret);
      expect(rows).not.toContain(secret);
    }
    const clients = createClientStore({ db: database.db, sealedBox: world.sealedBox, now: () => new Date() });
    expect(await clients.find('app')).toMatchObject({ clientSecret: env.APP_CLIENT_SECRET });
  });

  it('says on a dry run what it would do, and does nothing', async () => {
    const report = await apply(text, { dryRun: true });
    expect(report.at(-1)).toBe('8 changes would be made. Nothing was changed.');
    expect(await counts()).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('says which fields changed, and leaves the rest alone', async () => {
    await apply(text);
    const changed = text
      .replace('display_name: Globex', 'display_name: Globex Inc.')
      .replace('Sales -> marketing', 'Sales -> support')
      .replace('requires_role: builder', 'requires_role: admin')
      .replace('description: Memberships of the app', 'description: changed')
      .replace('name: The app', 'name: The new app');
    expect((await apply(changed)).filter((line) => !line.endsWith('no change'))).toEqual([
      'app groups of acme: changed (1 changed)',
      'workspace globex: changed (display_name)',
      'connection "Group Entra ID" of the instance: changed (sync_list)',
      'client app: changed (name)',
      'endpoint https://app.example.com/webhooks/rollcall: changed (description)',
      '5 changes made.',
    ]);
  });
});

describe('a file that is refused', () => {
  const problems = async (text: string) => {
    const error = await apply(text).catch((thrown: unknown) => thrown);
    if (!(error instanceof DeclarationError)) throw error;
    return error.problems.map(({ path, line }) => `${line} ${path}`);
  };
  const workspace = 'workspaces:\n  - slug: acme\n';

  it('for what the database says leaves nothing behind, and names the place', async () => {
    expect(await problems(`${workspace}    app_groups: [engineers, admin]\n`)).toEqual(['3 workspaces.0.app_groups.1.name']);
    const elsewhere = `${workspace}connections:\n  - display_name: Okta\n    workspace: nowhere\n    protocol: { type: saml, metadata_xml: <EntityDescriptor/> }\n`;
    expect(await problems(elsewhere)).toEqual(['5 connections.0.workspace']);
    expect(await problems(`${workspace}endpoints:\n  - url: https://app.example.com\n    workspaces: [acme, nowhere]\n`)).toEqual(
      ['5 endpoints.0.workspaces.1'],
    );
    expect(await counts()).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('for metadata names every connection, before anything is written', async () => {
    const text = `${workspace}connections:
  - display_name: one
    protocol: { type: saml, metadata_url: https://idp.example.com/gone }
  - display_name: two
    protocol:
      type: saml
      metadata_xml: hello
`;
    expect(await problems(text)).toEqual(['5 connections.0.protocol.metadata_url', '9 connections.1.protocol.metadata_xml']);
    expect(await counts()).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe('an endpoint without a secret', () => {
  it('gets one, which is told once', async () => {
    const text = 'endpoints:\n  - url: https://app.example.com/hooks\n';
    const secret = (await apply(text)).find((line) => line.startsWith('Secret'));
    expect(secret).toMatch(/^Secret of endpoint https:\/\/app\.example\.com\/hooks, shown this once: whsec_/);
    expect(await apply(text)).toEqual(['endpoint https://app.example.com/hooks: no change', 'No change.']);
  });

  it('takes all that the API takes, and finds it as it was the second time', async () => {
    const more = `    headers: { X-Token: { env: APP_CLIENT_SECRET } }
    rate_limit_per_second: 50
    max_concurrency: 4
`;
    const text = `endpoints:\n  - url: https://app.example.com/hooks\n`;
    await apply(text);
    expect(await apply(text + more)).toContain(
      'endpoint https://app.example.com/hooks: changed (headers, rate_limit_per_second, max_concurrency)',
    );
    const [row] = await database.db('endpoints');
    expect(row).toMatchObject({ rate_limit_per_second: 50, max_concurrency: 4 });
    const entries = JSON.stringify(await database.db('audit_log'));
    expect(JSON.stringify(row) + entries).not.toContain(env.APP_CLIENT_SECRET);
    expect(await apply(text + more)).toEqual(['endpoint https://app.example.com/hooks: no change', 'No change.']);
  });
});

describe('the commands on a real database', () => {
  const settings = () => ({
    ROLLCALL_MODE: 'development',
    ROLLCALL_SEALING_KEYS: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
    ROLLCALL_COOKIE_KEYS: `k1:${Buffer.alloc(32, 2).toString('base64')}`,
    DATABASE_URL: database.url,
  });
  async function rollcall(args: string[], more: Record<string, string> = {}) {
    const written = { out: '', err: '' };
    const exitCode = await run(args, {
      env: { ...settings(), ...more },
      out: (text) => {
        written.out += text;
      },
      err: (text) => {
        written.err += text;
      },
    });
    return { exitCode, ...written };
  }
  const write = (text: string) => {
    const file = join(folder, 'by-command.yaml');
    writeFileSync(file, text);
    return file;
  };

  it('rollcall migrate says where the schema stands', async () => {
    expect(await rollcall(['migrate'])).toMatchObject({
      exitCode: 0,
      out: expect.stringMatching(/^The schema is up to date: \d{4}_.+\.sql\.\n$/),
    });
  });

  it('rollcall apply reports what it did, and tells errors as file:line:column', async () => {
    const file = write('workspaces:\n  - slug: acme\n');
    expect(await rollcall(['apply', '-f', file, '--yes'])).toEqual({
      exitCode: 0,
      out: 'workspace acme: created\n1 change made.\n',
      err: '',
    });
    const wrong = write('workspaces:\n  - slug: acme\n    colour: red\n');
    const refused = await rollcall(['apply', '-f', wrong, '--yes']);
    expect(refused).toMatchObject({ exitCode: 4, out: '' });
    expect(refused.err).toBe(
      `${wrong}:3:5: workspaces.0.colour: there is no such field\nNothing was changed: the file has 1 problem.\n`,
    );
    expect(await rollcall(['apply', '-f', join(folder, 'nowhere.yaml')])).toMatchObject({
      exitCode: 4,
      err: expect.stringContaining('ENOENT'),
    });
  });

  it('R13 rollcall api-keys create makes keys that open what they are for, until they are revoked', async () => {
    await rollcall(['apply', '-f', write('workspaces:\n  - slug: acme\n'), '--yes']);
    const made = await rollcall([
      'api-keys',
      'create',
      '--name',
      'ci',
      '--workspace',
      'acme',
      '--read-only',
      '--expires-in-days',
      '30',
    ]);
    expect(made).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^rollcall_key_[A-Za-z0-9_-]{43}\n$/) });
    const [row] = await database.db('api_keys');
    expect(row).toMatchObject({ name: 'ci', read_only: true, revoked_at: null });
    expect(made.err).toContain(row.key_id);
    expect(Math.round((row.expires_at.getTime() - Date.now()) / 86_400_000)).toBe(30);
    expect(await rollcall(['api-keys', 'revoke', row.key_id])).toMatchObject({ exitCode: 0 });
    expect((await database.db('api_keys').first()).revoked_at).toBeInstanceOf(Date);
    expect(await rollcall(['api-keys', 'revoke', row.key_id])).toMatchObject({ exitCode: 4 });
    expect(await rollcall(['api-keys', 'create', '--name', 'x', '--workspace', 'nowhere'])).toMatchObject({
      exitCode: 4,
      out: '',
    });
  });

  it('ends with 5 when Postgres does not come', async () => {
    const away = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', ROLLCALL_POSTGRES_START_WAIT_SECONDS: '1' };
    expect(await rollcall(['migrate'], away)).toMatchObject({ exitCode: 5, out: '' });
  });

  it('the file that package.json names runs by itself', async () => {
    const program = fileURLToPath(new URL('../../../src/cli/rollcall.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [program, 'keys', 'generate']);
    expect(stdout).toMatch(/^k[0-9a-f]{8}:/);
    const failed = await promisify(execFile)(process.execPath, [program, 'aply']).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(failed).toMatchObject({ code: 2, stderr: expect.stringContaining('Did you mean apply?') });
  });
});
