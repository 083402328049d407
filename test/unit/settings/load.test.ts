import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type LoadSettingsOptions, loadSettings } from '../../../src/settings/load.ts';
import { SettingsError } from '../../../src/settings/settings-error.ts';

const shipped = fileURLToPath(new URL('../../../config', import.meta.url));
const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const good = {
  ROLLCALL_PUBLIC_URL: 'https://login.example.com',
  ROLLCALL_SEALING_KEYS: key('a'),
  ROLLCALL_COOKIE_KEYS: key('a'),
};

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** The shipped folder with files of the test's own. */
function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-settings-'));
  folders.push(folder);
  cpSync(shipped, folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

const load = (env: Record<string, string> = {}, options: Partial<LoadSettingsOptions> = {}) =>
  loadSettings({ env: { ...good, ...env }, folder: shipped, ...options });

function problemsOf(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

describe('sources', () => {
  test('the defaults with an address and keys are complete', () => {
    expect(load()).toMatchObject({
      mode: 'production',
      publicUrl: 'https://login.example.com',
      postgres: { url: null },
      redis: { url: null },
    });
  });

  test('the environment wins over local.yaml, which wins over the file of the mode, which wins over the defaults', () => {
    const folder = folderWith({
      'production.yaml': 'http: { port: 1, host: mode, drainSeconds: 7 }',
      'local.yaml': 'http: { port: 2, host: local }',
      'development.yaml': 'http: { drainSeconds: 99 }',
    });
    expect(load({ ROLLCALL_HTTP_PORT: '3' }, { folder }).http).toMatchObject({
      port: 3,
      host: 'local',
      drainSeconds: 7,
      trustedProxies: 0,
    });
  });

  test('the mode chooses its file', () => {
    const folder = folderWith({ 'development.yaml': 'http: { drainSeconds: 99 }' });
    expect(load({ ROLLCALL_MODE: 'development' }, { folder }).http.drainSeconds).toBe(99);
    expect(load({}, { folder }).http.drainSeconds).toBe(20);
  });

  test('a caller can override everything, for secrets of its own making', () => {
    const secrets = { sealingKeys: [key('x')], cookieKeys: [key('y')] };
    const settings = loadSettings({
      env: { ROLLCALL_HTTP_PORT: '1' },
      folder: shipped,
      overrides: { mode: 'development', http: { port: 0 }, secrets },
    });
    expect(settings).toMatchObject({ mode: 'development', http: { port: 0, host: '0.0.0.0' }, secrets });
  });

  test('two loads in one process do not see each other, nor the environment of the process', () => {
    expect(load({ ROLLCALL_HTTP_PORT: '1111' }).http.port).toBe(1111);
    expect(load({ ROLLCALL_HTTP_PORT: '2222' }).http.port).toBe(2222);
    process.env.ROLLCALL_HTTP_PORT = '3333';
    expect(load().http.port).toBe(3000);
    delete process.env.ROLLCALL_HTTP_PORT;
  });

  test('files of other kinds in the folder are not run', () => {
    const folder = folderWith({ 'local.js': 'throw new Error("ran")', 'local.json': '{"http":{"port":9}}' });
    expect(load({}, { folder }).http.port).toBe(3000);
  });
});

describe('the environment', () => {
  test('reads numbers, switches, lists and lists of numbers by the type of the setting', () => {
    const settings = load({
      ROLLCALL_DELIVERY_JITTER_FRACTION: '0.5',
      ROLLCALL_DELIVERY_ENABLED: 'false',
      ROLLCALL_GROUP_SYNC_ROLES: 'owner, member',
      ROLLCALL_DELIVERY_RETRY_DELAYS_SECONDS: '1,2,3',
      DATABASE_URL: 'postgres://u:p@db/x',
      REDIS_URL: 'rediss://cache:6380',
      ROLLCALL_SEALING_KEYS: `${key('new')},${key('old')}`,
    });
    expect(settings.delivery).toMatchObject({ jitterFraction: 0.5, enabled: false, retryDelaysSeconds: [1, 2, 3] });
    expect(settings.groupSync.roles).toEqual(['owner', 'member']);
    expect([settings.postgres.url, settings.redis.url]).toEqual(['postgres://u:p@db/x', 'rediss://cache:6380']);
    expect(settings.secrets.sealingKeys).toHaveLength(2);
  });

  test('an empty variable counts as not set', () => {
    expect(load({ DATABASE_URL: '', ROLLCALL_HTTP_PORT: '' })).toMatchObject({ postgres: { url: null }, http: { port: 3000 } });
  });

  test.each(['x', '3.5', '1e3', '0x10', '-1', '65536', ' '])('"%s" is refused as a port', (text) => {
    expect(problemsOf(() => load({ ROLLCALL_HTTP_PORT: text }))).toMatchObject([
      { path: 'http.port', variable: 'ROLLCALL_HTTP_PORT' },
    ]);
  });

  test.each(['yes', '1', 'TRUE', 'on'])('"%s" is refused as a switch', (text) => {
    expect(problemsOf(() => load({ ROLLCALL_DELIVERY_ENABLED: text }))).toMatchObject([{ path: 'delivery.enabled' }]);
  });

  test('a misspelt variable is refused with the nearest one', () => {
    expect(problemsOf(() => load({ ROLLCALL_HTTP_PROT: '1' }))).toMatchObject([
      {
        variable: 'ROLLCALL_HTTP_PROT',
        problem: 'there is no such variable',
        fix: expect.stringContaining('ROLLCALL_HTTP_PORT'),
      },
    ]);
  });

  test('variables of other programs, of the caller, and of Kubernetes services are left alone', () => {
    const env = {
      ROLLCALL_SERVICE_HOST: '10.0.0.1',
      ROLLCALL_SERVICE_PORT_HTTP: '3000',
      ROLLCALL_PORT: 'tcp://10.0.0.1:3000',
      ROLLCALL_PORT_3000_TCP_ADDR: '10.0.0.1',
      ROLLCALL_DEMO_PORT: '4000',
      PATH: '/bin',
    };
    expect(problemsOf(() => load(env, { otherVariables: ['ROLLCALL_DEMO_PORT'] }))).toEqual([]);
    expect(problemsOf(() => load({ ROLLCALL_PORT: '3000' }))).toMatchObject([{ variable: 'ROLLCALL_PORT' }]);
  });
});

describe('refusals', () => {
  test('lists everything that is wrong at once, each with path, variable and fix', () => {
    const env = {
      ROLLCALL_PUBLIC_URL: 'https://login.example.com/path',
      ROLLCALL_HTTP_PORT: 'x',
      DATABASE_URL: 'mysql://user:hunter2@db/x',
      ROLLCALL_SEALING_KEYS: 'a:tooshort',
      ROLLCALL_COOKIE_KEYS: '',
      ROLLCALL_TYPO: '1',
      ROLLCALL_DELIVERY_LEASE_SECONDS: '15',
    };
    const folder = folderWith({ 'local.yaml': 'htp: { port: 1 }\nlog: { levle: info }' });
    const problems = problemsOf(() => load(env, { folder }));
    expect(problems.map(({ path, variable }) => path ?? variable).sort()).toEqual(
      [
        'publicUrl',
        'http.port',
        'postgres.url',
        'secrets.sealingKeys.0',
        'secrets.cookieKeys',
        'ROLLCALL_TYPO',
        'delivery.leaseSeconds',
        'htp',
        'log.levle',
      ].sort(),
    );
    for (const { problem, fix } of problems) expect([problem, fix]).not.toContain('');
    expect(problems.find(({ path }) => path === 'htp')?.fix).toContain('http');
    expect(problems.find(({ path }) => path === 'log.levle')?.fix).toContain('level');
  });

  test('never repeats a value: it may be a secret', () => {
    const env = {
      DATABASE_URL: 'mysql://user:hunter2@db/x',
      ROLLCALL_SEALING_KEYS: 'a:hunter2',
      ROLLCALL_BOOTSTRAP_API_KEY: 'hunter2',
    };
    expect(() => load(env)).toThrow(expect.objectContaining({ message: expect.not.stringContaining('hunter2') }));
  });

  test('a file that is no YAML is named with the line, without quoting it, beside the other problems', () => {
    const folder = folderWith({ 'local.yaml': 'secrets:\n  sealingKeys: [hunter2' });
    const problems = problemsOf(() => load({ ROLLCALL_HTTP_PORT: 'x' }, { folder }));
    expect(problems[0]?.problem).toMatch(/local\.yaml cannot be read: .*line 2/);
    expect(problems.map(({ path }) => path)).toContain('http.port');
    expect(JSON.stringify(problems)).not.toContain('hunter2');
  });

  test.each(['- a list', 'text', '5'])('a file that holds "%s" in place of settings is refused', (content) => {
    expect(problemsOf(() => load({}, { folder: folderWith({ 'local.yaml': content }) }))).toHaveLength(1);
  });

  test('an empty file is like none', () => {
    expect(load({}, { folder: folderWith({ 'local.yaml': '# nothing\n' }) }).http.port).toBe(3000);
  });

  test('an unknown mode is refused, and is never taken for a file name', () => {
    expect(problemsOf(() => load({ ROLLCALL_MODE: '../secret' }))).toMatchObject([{ path: 'mode' }]);
  });
});

describe('rules', () => {
  test('production demands https, development does not', () => {
    const env = { ROLLCALL_PUBLIC_URL: 'http://localhost:3000' };
    expect(problemsOf(() => load(env))).toMatchObject([{ path: 'publicUrl', variable: 'ROLLCALL_PUBLIC_URL' }]);
    expect(load({ ...env, ROLLCALL_MODE: 'development' }).publicUrl).toBe('http://localhost:3000');
  });

  test.each(['production', 'development'])('%s demands sealing and cookie keys', (mode) => {
    const problems = problemsOf(() =>
      loadSettings({ env: { ROLLCALL_MODE: mode, ROLLCALL_PUBLIC_URL: 'https://a.example' }, folder: shipped }),
    );
    expect(problems).toMatchObject([
      { path: 'secrets.sealingKeys', variable: 'ROLLCALL_SEALING_KEYS' },
      { path: 'secrets.cookieKeys', variable: 'ROLLCALL_COOKIE_KEYS' },
    ]);
  });

  test('two keys of one id are refused, of two ids accepted', () => {
    expect(problemsOf(() => load({ ROLLCALL_COOKIE_KEYS: `${key('a')},${key('a')}` }))).toMatchObject([
      { path: 'secrets.cookieKeys' },
    ]);
    expect(load({ ROLLCALL_COOKIE_KEYS: `${key('a')},${key('b')}` }).secrets.cookieKeys).toHaveLength(2);
  });

  test.each([
    'https://login.example.com/',
    'https://login.example.com/x',
    'https://u:p@login.example.com',
    'ftp://login.example.com',
    'login.example.com',
  ])('"%s" is refused as the public address', (publicUrl) =>
    expect(problemsOf(() => load({ ROLLCALL_PUBLIC_URL: publicUrl }))[0]?.path).toBe('publicUrl'),
  );

  test('a lease must outlast an attempt', () => {
    expect(problemsOf(() => load({ ROLLCALL_DELIVERY_LEASE_SECONDS: '15' }))).toMatchObject([{ path: 'delivery.leaseSeconds' }]);
    expect(load({ ROLLCALL_DELIVERY_LEASE_SECONDS: '16' }).delivery.leaseSeconds).toBe(16);
  });

  test('a form must hold the largest SAML response in base64', () => {
    const env = { ROLLCALL_SAML_MAX_RESPONSE_BYTES: '300000', ROLLCALL_HTTP_MAX_FORM_BYTES: '399999' };
    expect(problemsOf(() => load(env))).toMatchObject([{ path: 'http.maxFormBytes' }]);
    expect(load({ ...env, ROLLCALL_HTTP_MAX_FORM_BYTES: '400000' }).http.maxFormBytes).toBe(400_000);
  });
});
