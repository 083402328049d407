/**
 * Complete logins over HTTP, from the app's authorization request to its tokens and userinfo, against a Rollcall process that has one
 * core to itself; load, identity providers, Postgres and Redis share the other one.
 *
 *   npm run bench:login                    the whole table
 *   npm run bench:login -- --logins 500    logins per row, 2,000 unless told
 *
 * 500 users with 10 groups each; every 5th login brings other groups than the one before. 3,000 logins of a protocol go before its first figure.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { administer, withDatabase } from '../support/database-administration.ts';
import { startTestPostgres, startTestRedis } from '../support/servers.ts';
import { createLoginWorld, type LoginWorld, type Protocol } from './login-world.ts';
import { describeMachine, percentile } from './process-figures.ts';

const { values } = parseArgs({
  options: { logins: { type: 'string', default: '2000' }, warmup: { type: 'string', default: '3000' } },
});
const loginsPerRow = Number(values.logins);
const warmUpLogins = Number(values.warmup);
const concurrencies = [1, 8, 32];
let totalErrors = 0;
const [serverCore, loadCore] = ['0', '1'];

execFileSync('taskset', ['-cp', loadCore, String(process.pid)]);
const postgres = await startTestPostgres();
const redis = await startTestRedis();
console.log(`Machine: ${describeMachine()}`);
console.log(`Postgres: ${postgres.source}. Redis: ${redis?.source ?? 'none: rows without it only'}.`);
console.log(
  `Server alone on core ${serverCore}; ${warmUpLogins} logins of each protocol to warm up, ${loginsPerRow} logins per row.\n`,
);
console.log('store    protocol  conc.  logins/s  p50 ms  p95 ms  p99 ms  CPU ms/login  peak RSS MiB  changed  errors');

try {
  for (const redisUrl of process.env.BENCH_MEM ? [null] : redis ? [redis.url, null] : [null]) await benchmark(redisUrl);
} finally {
  await redis?.stop();
  await postgres.stop();
}

async function benchmark(redisUrl: string | null): Promise<void> {
  const name = `bench_${process.pid}_${redisUrl ? 'redis' : 'memory'}`;
  await administer(postgres.url, `CREATE DATABASE ${name}`);
  const world = await createLoginWorld({ databaseUrl: withDatabase(postgres.url, name), redisUrl, serverCore });
  try {
    for (const protocol of ['saml', 'oidc'] as const) {
      await run(world, protocol, 16, warmUpLogins);
      for (const concurrency of concurrencies) {
        const row = await run(world, protocol, concurrency, loginsPerRow);
        console.log([redisUrl ? 'Redis  ' : 'memory ', protocol.padEnd(8), ...row].join('  '));
      }
    }
  } finally {
    await world.stop();
    await administer(postgres.url, `DROP DATABASE ${name} WITH (FORCE)`);
  }
}

/** @returns the row's cells */
async function run(world: LoginWorld, protocol: Protocol, concurrency: number, logins: number): Promise<string[]> {
  const milliseconds: number[] = [];
  let errors = 0;
  let started = 0;
  const changedBefore = await world.countChanges();
  world.server.resetPeak();
  world.server.cpuMilliseconds();
  const startedAt = performance.now();
  const worker = async (): Promise<void> => {
    while (started < logins) {
      started += 1;
      const begin = performance.now();
      try {
        await world.logIn(protocol);
        milliseconds.push(performance.now() - begin);
      } catch (error) {
        if (totalErrors === 0) console.error(error);
        errors += 1;
        totalErrors += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpu = world.server.cpuMilliseconds() / Math.max(1, milliseconds.length);
  const changed = (await world.countChanges()) - changedBefore;
  milliseconds.sort((a, b) => a - b);
  const cell = (value: number, digits: number, width: number) => value.toFixed(digits).padStart(width);
  return [
    cell(concurrency, 0, 5),
    cell(milliseconds.length / seconds, 0, 8),
    ...[0.5, 0.95, 0.99].map((fraction) => cell(percentile(milliseconds, fraction), 1, 6)),
    cell(cpu, 2, 12),
    cell(world.server.peakMebibytes(), 0, 12),
    cell(changed, 0, 7),
    cell(errors, 0, 6),
  ];
}
