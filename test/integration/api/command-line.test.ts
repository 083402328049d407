import { expect, it } from 'vitest';
import { run } from '../../../src/cli/program.ts';
import { useApi } from '../../support/api-world.ts';

const api = useApi();

async function rollcall(...args: string[]) {
  const written = { out: '', err: '' };
  const exitCode = await run(args, {
    env: {
      ROLLCALL_MODE: 'development',
      ROLLCALL_SEALING_KEYS: `k1:${Buffer.alloc(32, 1).toString('base64')}`,
      ROLLCALL_COOKIE_KEYS: `k1:${Buffer.alloc(32, 2).toString('base64')}`,
      DATABASE_URL: api.database.url,
      USER: 'operator',
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

it('rollcall api-keys makes, rotates and revokes keys, each with an entry that the workspace reads too', async () => {
  const made = await rollcall('api-keys', 'create', '--name', 'ci', '--workspace', 'acme');
  const key = made.out.trim();
  const works = async (each: string) => (await api.get('/v1/workspaces', each)).status === 200;
  expect([made.exitCode, await works(key)]).toEqual([0, true]);
  const [{ key_id: keyId }] = (await api.get('/v1/api-keys')).body.data.filter(({ name }: { name: string }) => name === 'ci');

  const rotated = await rollcall('api-keys', 'rotate', keyId, '--overlap-hours', '1');
  const next = rotated.out.trim();
  expect([rotated.exitCode, next === key, await works(key), await works(next)]).toEqual([0, false, true, true]);
  expect((await rollcall('api-keys', 'revoke', keyId)).exitCode).toBe(0);
  expect([await works(key), await works(next)]).toEqual([false, false]);
  expect((await rollcall('api-keys', 'rotate', keyId)).exitCode).not.toBe(0);
  expect((await rollcall('api-keys', 'rotate', keyId, '--overlap-hours', '169')).exitCode).not.toBe(0);

  const entries = (await api.get(`/v1/audit-log?resource_id=${keyId}`, api.keys.acme)).body.data;
  expect(entries.map(({ action, actor, outcome }: Record<string, unknown>) => [action, actor, outcome])).toEqual(
    ['revoke', 'rotate', 'create'].map((word) => [`rollcall api-keys ${word}`, { kind: 'command_line', id: 'operator' }, 'done']),
  );
  expect(JSON.stringify(await api.database.db('audit_log').select('*'))).not.toMatch(/rollcall_key_/);
});
