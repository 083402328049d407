import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../src/cli/program.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createLicenceSigner, inSeconds } from '../../support/licence-tokens.ts';

const vendor = createLicenceSigner();
let database: TestDatabase;
let folder: string;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), 'rollcall-licence-'));
});
afterAll(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

async function rollcall(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const written = { out: '', err: '' };
  const exitCode = await run(['licence', ...args], {
    env: {
      ROLLCALL_PUBLIC_URL: 'https://login.example.com',
      ROLLCALL_SEALING_KEYS: `a:${randomBytes(32).toString('base64')}`,
      ROLLCALL_COOKIE_KEYS: `a:${randomBytes(32).toString('base64')}`,
      ROLLCALL_LICENCE_PUBLIC_KEYS: JSON.stringify(vendor.publicJwk),
      DATABASE_URL: database.url,
      ...env,
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

async function aFile(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `${text}\n`);
  return path;
}

describe('rollcall licence', () => {
  it('R34 verify tells what a licence says, without a database', async () => {
    const token = await vendor.sign({
      jti: 'L-1',
      sub: 'Acme Ltd',
      maxUsers: 50,
      exp: Date.parse('2040-01-01T00:00:00Z') / 1_000,
    });
    const verified = await rollcall(['verify', await aFile('good', token)], {
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    });
    expect(verified).toEqual({
      exitCode: 0,
      err: '',
      out: [
        'Status    valid',
        'Id        L-1',
        'Holder    Acme Ltd',
        'Ends      2040-01-01T00:00:00.000Z',
        'Features  sso, group_sync',
        'Seats     50',
        '',
      ].join('\n'),
    });
  });

  it.each<[string, () => Promise<string>, string]>([
    ['of a stranger', () => createLicenceSigner().sign(), 'no configured key signed the licence'],
    ['past its end', () => vendor.sign({ exp: inSeconds(-1) }), 'it is past its end'],
    ['that lacks a feature', () => vendor.sign({ features: ['sso'] }), 'it lacks sso or group_sync'],
    ['that is none', async () => 'hello', 'the licence is malformed'],
  ])('R34 verify refuses one %s with exit code 4', async (_what, token, words) => {
    const refused = await rollcall(['verify', await aFile('bad', await token())]);
    expect(refused.exitCode).toBe(4);
    expect(refused.err).toContain(words);
  });

  it('R34 set puts one in force, show tells of it, and unset goes back to the one of the environment', async () => {
    const env = { ROLLCALL_LICENCE: await vendor.sign({ jti: 'of the environment' }) };
    expect((await rollcall(['show'])).out).toContain('there is no licence');
    expect((await rollcall(['show'], env)).out).toContain('of the environment');
    const set = await rollcall(['set', await aFile('new', await vendor.sign({ jti: 'set' }))], env);
    expect(set).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^Status {4}valid\nSet by {4}api\nId {8}set\n/) });
    expect((await rollcall(['show'], env)).out).toBe(set.out);
    expect((await rollcall(['unset'], env)).out).toContain('Set by    environment');
    const told = await database.db('events').orderBy('position').pluck('payload');
    expect(told.map(({ data }) => data.licence.id)).toEqual(['set', 'of the environment']);
  });

  it('R34 set refuses what verify refuses, and a file that is not there', async () => {
    expect((await rollcall(['set', await aFile('bad', await createLicenceSigner().sign())])).exitCode).toBe(4);
    const missing = await rollcall(['set', join(folder, 'missing')]);
    expect([missing.exitCode, missing.err]).toEqual([4, expect.stringContaining('cannot be read (ENOENT)')]);
    expect((await rollcall(['show'])).out).toContain('there is no licence');
  });
});
