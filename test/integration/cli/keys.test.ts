import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rollcallOn } from '../../support/command-line.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const rollcall = (...args: string[]) => rollcallOn(database.url, ['keys', ...args]);
interface KeyView {
  readonly key_id: string;
  readonly purpose: string;
  readonly state: string;
}
const list = async (...args: string[]): Promise<KeyView[]> => JSON.parse((await rollcall('list', '--json', ...args)).out).data;
const states = async (purpose: string) => (await list()).filter((key) => key.purpose === purpose).map(({ state }) => state);

describe('rollcall keys', () => {
  it('lists the key pairs of the instance, made at the first look, and never a private one', async () => {
    const keys = await list();
    expect(keys.map(({ purpose }) => purpose).sort()).toEqual([
      'saml-decryption',
      'saml-signing',
      'token-signing',
      'token-signing',
      'webhook-signing',
    ]);
    const { out } = await rollcall('list');
    expect(out).toMatch(/^webhook-signing +Ed25519 +\S{43} +\S+Z +in use$/m);
    expect(out).not.toContain('PRIVATE');
  });

  it('rotates with overlap, and retires what is not needed any more', async () => {
    expect((await rollcall('rotate', '--purpose', 'saml-decryption')).exitCode).toBe(0);
    expect(await states('saml-decryption')).toEqual(['in_use', 'verifies']);
    const under = await rollcall('rotate', '--purpose', 'saml-decryption');
    expect(under).toMatchObject({ exitCode: 4, err: expect.stringContaining('a rotation is under way') });
    const [fresh, old] = (await list()).filter(({ purpose }) => purpose === 'saml-decryption');
    expect((await rollcall('retire', fresh?.key_id ?? '')).err).toContain('it is the newer key');
    expect((await rollcall('retire', old?.key_id ?? '')).exitCode).toBe(0);
    expect(await states('saml-decryption')).toEqual(['in_use']);
    expect((await list('--all')).find(({ key_id: keyId }) => keyId === old?.key_id)?.state).toBe('retired');
    expect((await rollcall('retire', fresh?.key_id ?? '', '--force')).err).toContain('rotate first');
    const audited = await database.db('audit_log').where({ resource: 'instance-keys' }).orderBy('entry_id').pluck('action');
    expect(audited).toEqual(['rollcall keys rotate', 'rollcall keys retire']);
  });

  it('publishes a new token key before it signs, and keeps the old one while its tokens are good', async () => {
    await rollcall('rotate', '--purpose', 'token-signing');
    expect((await states('token-signing')).sort()).toEqual(['in_use', 'in_use', 'published', 'published']);
    const old = (await list()).find(({ purpose, state }) => purpose === 'token-signing' && state === 'in_use');
    const refused = await rollcall('retire', old?.key_id ?? '');
    expect(refused).toMatchObject({ exitCode: 4, err: expect.stringContaining('it signs tokens until') });
    expect((await rollcall('retire', old?.key_id ?? '', '--force')).exitCode).toBe(0);
  });

  it.each([['rotate'], ['rotate', '--purpose', 'cookies'], ['retire']])('%s %s %s is wrong: exit code 2', async (...args) => {
    expect((await rollcall(...args)).exitCode).toBe(2);
  });
});
