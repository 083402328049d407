import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { examine } from '../../../src/cli/doctor.ts';
import type { Finding } from '../../../src/cli/doctor-findings.ts';
import { run } from '../../../src/cli/program.ts';
import { createInstanceKeys } from '../../../src/infra/instance-keys.ts';
import { createSealedBox } from '../../../src/infra/sealed-box.ts';
import { createCertifiedKey } from '../../../src/infra/self-signed-certificate.ts';
import { configFolder, migrationsFolder } from '../../../src/main.ts';
import { loadSettings } from '../../../src/settings/load.ts';
import { samlMetadata } from '../../support/broker-saml-idp.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { redisUrl, withRedis } from '../../support/redis.ts';

let database: TestDatabase;
let idp: OidcIdp;
let folder: string;
beforeAll(async () => {
  database = await createTestDatabase();
  idp = await startOidcIdp();
  folder = mkdtempSync(join(tmpdir(), 'rollcall-doctor-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await idp.stop();
  await database.drop();
});
beforeEach(async () => {
  idp.behave();
  await database.db.raw('TRUNCATE workspaces, endpoints, oidc_clients, audit_log, instance_keys CASCADE');
});

const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`;
const settings = () => ({
  ROLLCALL_MODE: 'development',
  ROLLCALL_SEALING_KEYS: key('k1', 1),
  ROLLCALL_COOKIE_KEYS: key('k1', 2),
  ROLLCALL_OUTBOUND_ALLOW_HTTP: 'true',
  ROLLCALL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: '127.0.0.1',
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

async function doctor(more: Record<string, string> = {}) {
  const { exitCode, out, err } = await rollcall(['doctor', '--json'], more);
  expect(err).toBe('');
  const { findings } = JSON.parse(out) as { findings: Finding[] };
  return { exitCode, findings, of: (check: string) => findings.find((finding) => finding.check === check) };
}

async function apply(declaration: object): Promise<void> {
  const file = join(folder, 'rollcall.yaml');
  writeFileSync(file, JSON.stringify(declaration));
  expect(await rollcall(['apply', '-f', file, '--yes'])).toMatchObject({ exitCode: 0, err: '' });
}

const oidc = (name: string, discoveryUrl = idp.issuer) => ({
  display_name: name,
  protocol: { type: 'oidc', discovery_url: discoveryUrl, client_id: 'rollcall', client_secret: 'a secret of the IdP' },
});

async function saml(name: string, certifiedAt: Date) {
  const { certificate } = await createCertifiedKey({ commonName: 'IdP', usage: 'signature', now: certifiedAt, validDays: 100 });
  const text = certificate.replaceAll(/-----[^-]+-----|\s/g, '');
  const origin = 'https://idp.example.com';
  const metadata_xml = samlMetadata({ entityId: origin, origin, certificate: text });
  return { display_name: name, protocol: { type: 'saml', metadata_xml } };
}

describe('rollcall doctor', () => {
  it('finds nothing to complain of in an installation that works, and changes nothing', async () => {
    await apply({
      workspaces: [{ slug: 'acme' }],
      connections: [oidc('Entra'), { ...(await saml('Okta', new Date())), workspace: 'acme' }],
      endpoints: [{ url: 'https://app.example.com/hooks' }],
    });
    const { exitCode, findings, of } = await doctor();
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual([]);
    expect(exitCode).toBe(0);
    expect(findings.map(({ check }) => check)).toEqual([
      'settings',
      'clock',
      'Redis',
      'database',
      'clock of the database',
      'migrations',
      'sealing keys',
      'licence',
      'connections',
      'connection Entra',
      'connection Okta of acme',
      'endpoints',
      'endpoint https://app.example.com/hooks',
    ]);
    expect(of('sealing keys')?.detail).toBe('2 stored secrets can be opened');
    expect(of('connection Entra')?.detail).toBe(`discovery of ${idp.issuer} with 1 key`);
    expect(await database.db('instance_keys')).toEqual([]);
    const { out } = await rollcall(['doctor']);
    expect(out.split('\n')).toHaveLength(findings.length + 2);
    expect(out).toMatch(/13 ok, 0 warnings, 0 problems\.\n$/);
    expect(out).not.toContain('a secret of the IdP');
  });

  it('warns of an expired certificate, and ends with 0', async () => {
    await apply({ connections: [await saml('Okta', new Date(Date.now() - 101 * 86_400_000))] });
    const { exitCode, of } = await doctor();
    expect(of('connection Okta')).toMatchObject({ level: 'warning', detail: expect.stringContaining('expired at') });
    expect(exitCode).toBe(0);
  });

  it('tells of discovery that is away, inconsistent or blocked, one connection beside another', async () => {
    await apply({ connections: [oidc('Entra'), oidc('Away', 'http://127.0.0.1:1'), oidc('Off', 'http://127.0.0.1:1/off')] });
    await database.db('connections').where({ display_name: 'Off' }).update({ enabled: false });
    const away = await doctor();
    expect(away.exitCode).toBe(1);
    expect(away.of('connection Away')?.level).toBe('problem');
    expect(away.of('connection Entra')?.level).toBe('ok');
    expect(away.of('connection Off')).toBeUndefined();
    idp.behaviour.metadata = { issuer: 'https://somebody-else.example' };
    expect((await doctor()).of('connection Entra')).toMatchObject({
      level: 'problem',
      detail: expect.stringContaining('another issuer'),
    });
    idp.behave();
    idp.behaviour.instead.jwks = { status: 200, body: '{"keys":[]}' };
    expect((await doctor()).of('connection Entra')).toMatchObject({
      level: 'problem',
      detail: expect.stringContaining('no key'),
    });
    const blocked = await doctor({ ROLLCALL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES: '192.0.2.1' });
    expect(blocked.of('connection Entra')).toMatchObject({
      level: 'problem',
      fix: expect.stringContaining('ROLLCALL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES'),
    });
  });

  it('tells of a lost sealing key, by name; with the old one behind the new one all is well', async () => {
    await apply({ connections: [oidc('Entra')], endpoints: [{ url: 'https://app.example.com/hooks' }] });
    const sealedBox = createSealedBox({ keys: [key('k1', 1)] });
    await createInstanceKeys({ db: database.db, sealedBox, now: () => new Date(), publishSeconds: 3_600 }).ensure();
    const lost = await doctor({ ROLLCALL_SEALING_KEYS: key('k2', 3) });
    expect(lost.exitCode).toBe(1);
    expect(lost.of('sealing keys')).toMatchObject({
      level: 'problem',
      detail: expect.stringMatching(/^3 of 3 stored secrets .*: the instance's keys, connection Entra, endpoint .*"k1"/),
    });
    expect(lost.of('migrations')?.level).toBe('ok');
    const rotated = await doctor({ ROLLCALL_SEALING_KEYS: `${key('k2', 3)},${key('k1', 1)}` });
    expect(rotated.of('sealing keys')).toMatchObject({ level: 'ok', detail: '3 stored secrets can be opened' });
    expect(rotated.exitCode).toBe(0);
  });

  it('tells of a migration that is not applied, and does not apply it', async () => {
    const last = await database.db('schema_migrations').orderBy('name', 'desc').first();
    await database.db('schema_migrations').where({ name: last.name }).delete();
    try {
      const { exitCode, of } = await doctor();
      expect(of('migrations')).toMatchObject({ level: 'problem', detail: `not applied: ${last.name}` });
      expect(exitCode).toBe(1);
      expect(await database.db('schema_migrations').where({ name: last.name })).toEqual([]);
    } finally {
      await database.db('schema_migrations').insert(last);
    }
  });

  it('makes the other checks while Postgres and Redis are away', async () => {
    const { exitCode, findings, of } = await doctor({
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      REDIS_URL: 'redis://127.0.0.1:1',
    });
    expect(exitCode).toBe(1);
    expect([of('database')?.level, of('Redis')?.level, of('clock')?.level]).toEqual(['problem', 'problem', 'ok']);
    expect(findings.filter(({ level }) => level === 'warning').map(({ check }) => check)).toContain('sealing keys');
  }, 20_000);

  it('waits for no check longer than the limit', async () => {
    await apply({ connections: [oidc('Slow')], endpoints: [{ url: 'https://app.example.com/hooks' }] });
    idp.behaviour.delayMilliseconds.discovery = 1_500;
    const loaded = loadSettings({ env: settings(), folder: configFolder });
    const findings = await examine({ settings: loaded, migrationsFolder, log: quietLog, now: () => new Date(), limitSeconds: 1 });
    expect(findings.filter(({ level }) => level !== 'ok')).toMatchObject([
      { check: 'connection Slow', level: 'problem', detail: 'no result within 1 s' },
    ]);
    expect(findings.at(-1)?.check).toBe('endpoint https://app.example.com/hooks');
  });

  it('tells every problem of the settings, and ends with 1', async () => {
    const { exitCode, findings } = await doctor({ ROLLCALL_SEALING_KEYS: 'short', ROLLCALL_PUBLIC_URL: 'nowhere' });
    expect(exitCode).toBe(1);
    expect(findings.map(({ check, level }) => [check, level])).toEqual(
      expect.arrayContaining([
        ['settings: ROLLCALL_SEALING_KEYS', 'problem'],
        ['settings: ROLLCALL_PUBLIC_URL', 'problem'],
      ]),
    );
  });

  it('explains itself and its exit codes', async () => {
    const { exitCode, out } = await rollcall(['doctor', '--help']);
    expect(exitCode).toBe(0);
    expect(out).toContain('with 1 when there are');
  });
});

describe.skipIf(redisUrl === null)(`rollcall doctor ${withRedis}`, () => {
  it('tells the version of Redis', async () => {
    expect((await doctor({ REDIS_URL: redisUrl as string })).of('Redis')).toMatchObject({
      level: 'ok',
      detail: expect.stringMatching(/^version \d+\.\d+/),
    });
  });
});
