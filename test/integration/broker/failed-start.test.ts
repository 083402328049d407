import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { redisUrl } from '../../support/redis.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const key = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const [sealingKey, otherSealingKey] = [key('first'), key('second')];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** Runs the program to its end; one that serves is told to stop. */
async function runProgram(port: number, sealing: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [main], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 15_000,
    killSignal: 'SIGKILL',
    env: {
      ROLLCALL_MODE: 'development',
      ROLLCALL_PUBLIC_URL: `http://localhost:${port}`,
      ROLLCALL_HTTP_HOST: '127.0.0.1',
      ROLLCALL_HTTP_PORT: String(port),
      ROLLCALL_SEALING_KEYS: sealing,
      ROLLCALL_COOKIE_KEYS: key('cookie'),
      DATABASE_URL: database.url,
      ...(redisUrl !== null && { REDIS_URL: redisUrl }),
    },
  });
  let output = '';
  let told = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (told || !output.includes('Rollcall serves')) return;
      // A second signal would end it at once.
      told = child.kill('SIGTERM');
    });
  }
  const [code] = await once(child, 'close');
  return { code: code as number | null, output };
}

/** A process that neither serves nor ends is never started anew by whoever watches over it. */
describe('a start that fails', () => {
  it('ends the process when the port is taken; its twin serves, and ends by SIGTERM', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const refused = await runProgram(port, sealingKey);
    expect(refused).toMatchObject({ code: 1, output: expect.stringContaining('EADDRINUSE') });
    other.close();
    const accepted = await runProgram(port, sealingKey);
    expect(accepted).toMatchObject({ code: 0, output: expect.stringContaining('stopped') });
  }, 40_000);

  it('ends the process when the sealing key is another one than what is stored was sealed with', async () => {
    await runProgram(0, sealingKey);
    const refused = await runProgram(0, otherSealingKey);
    expect(refused.code).toBe(1);
    expect(refused.output).toMatch(/seal/);
  }, 40_000);
});
