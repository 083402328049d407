/**
 * Webhook deliveries over real HTTP: from events that commit to a receiver in another process, by one Rollcall process (started as
 * `npm start` does, settings as in `config/default.yaml`) that has one core to itself; receiver, load and Postgres share the other one.
 *
 *   npm run bench:delivery                                    the whole table
 *   npm run bench:delivery -- --deliveries 10000 --backlog 100000 --rounds 1     a quick look
 *
 * 1,000 members in turns. Throughput: all events commit in one transaction; from its COMMIT to the last receipt. Latency: one event every
 * 20 ms on an otherwise idle system, from the moment that COMMIT has returned to the arrival of the request.
 */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { administer, withDatabase } from '../support/database-administration.ts';
import { freePort, startTestPostgres } from '../support/servers.ts';
import { fillBacklog } from './delivery-backlog.ts';
import { postgresFiguresOf } from './delivery-postgres-figures.ts';
import { createDeliveryBenchWorld, type DeliveryBenchWorld, type Target } from './delivery-world.ts';
import { describeMachine, percentile } from './process-figures.ts';

const { values } = parseArgs({
  options: {
    deliveries: { type: 'string', default: '40000' },
    samples: { type: 'string', default: '500' },
    backlog: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '3' },
  },
});
const [deliveries, samples, backlog, rounds] = [values.deliveries, values.samples, values.backlog, values.rounds].map(Number) as [
  number,
  number,
  number,
  number,
];
const manyEndpoints = 100;
const sampleMilliseconds = 20;
const giveUpSeconds = 300;
const workerCore = pinThisProcess();

const postgres = await startTestPostgres();
const name = `bench_delivery_${process.pid}`;
await administer(postgres.url, `CREATE DATABASE ${name}`);
console.log(`Machine: ${describeMachine()}; load before the start ${os.loadavg()[0]?.toFixed(1)}, which should be near 0`);
console.log(`Postgres: ${postgres.source}. Worker ${workerCore === null ? 'on any core' : `alone on core ${workerCore}`}.`);
console.log('Limits: 2,000 deliveries/s, behind a backlog no more than 10 % fewer; p50 20 ms, p99 100 ms; 200 MiB.\n');
try {
  const world = await createDeliveryBenchWorld({ databaseUrl: withDatabase(postgres.url, name), workerCore });
  try {
    await benchmark(world);
  } finally {
    await world.stop();
  }
} finally {
  await administer(postgres.url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await postgres.stop();
}

async function benchmark(world: DeliveryBenchWorld): Promise<void> {
  const one = await world.addEndpoints(1, '/one');
  const many = await world.addEndpoints(manyEndpoints, '/many');
  await throughput(world, one, Math.min(10_000, deliveries));
  console.log(
    'throughput                         deliveries/s  worker CPU ms  Postgres CPU ms  peak RSS MiB  repeated  out of order',
  );
  const alone = await rows(world, '1 endpoint', one);
  await rows(world, `${manyEndpoints} endpoints`, many);
  const latencies = await latency(world, one);
  const dead = await world.addEndpoints(1, '/silent');
  const startedAt = performance.now();
  await fillBacklog(world.db, dead, backlog);
  console.log(`(a backlog of ${backlog} deliveries was made in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s)`);
  const behindSilent = await rows(world, '1 endpoint, backlog, silent', one);
  await world.moveEndpoint(dead.endpointIds[0] as string, `http://127.0.0.1:${await freePort()}/refused`);
  const behindRefused = await rows(world, '1 endpoint, backlog, refuses', one);
  const latenciesBehind = await latency(world, one);

  console.log('\nlatency                            p50 ms  p99 ms  max ms');
  console.log(`idle                               ${latencies}`);
  console.log(`behind the backlog                 ${latenciesBehind}`);
  const change = (rate: number) => `${(((rate - alone) / alone) * 100).toFixed(1)} %`;
  console.log(
    `\nThe backlog changes the median rate by ${change(behindSilent)} (silent) and ${change(behindRefused)} (refused).`,
  );
}

/** Prints a row for each round; returns the median of their rates. */
async function rows(world: DeliveryBenchWorld, title: string, target: Target): Promise<number> {
  const rates: number[] = [];
  const events = Math.ceil(deliveries / target.endpointIds.length);
  const figures = await postgresFiguresOf(world.db);
  await figures.rowWrites();
  for (let round = 0; round < rounds; round += 1) {
    world.worker.resetPeak();
    world.worker.cpuMilliseconds();
    figures.cpuMilliseconds();
    const made = await throughput(world, target, events);
    const workerCpu = world.worker.cpuMilliseconds() / made.count;
    const postgresCpu = (figures.cpuMilliseconds() ?? Number.NaN) / made.count;
    rates.push(made.rate);
    console.log(
      [
        title.padEnd(33),
        cell(made.rate, 0, 14),
        cell(workerCpu, 3, 13),
        cell(postgresCpu, 3, 15),
        cell(world.worker.peakMebibytes(), 0, 12),
        cell(made.repeated, 0, 8),
        cell(made.outOfOrder, 0, 12),
      ].join('  '),
    );
  }
  const made = rounds * events * target.endpointIds.length;
  const writes = [...(await figures.rowWrites())].map(([table, count]) => [table, count / made] as const);
  const total = writes.reduce((sum, [, count]) => sum + count, 0);
  const byTable = writes.map(([table, count]) => `${table} ${count.toFixed(2)}`);
  console.log(`  ${total.toFixed(2)} row writes for each: ${byTable.join(', ')}`);
  return percentile(
    rates.sort((a, b) => a - b),
    0.5,
  );
}

async function throughput(world: DeliveryBenchWorld, target: Target, events: number) {
  const count = events * target.endpointIds.length;
  const complete = await world.expect({ deliveries: count, keepArrivals: false });
  const { committedMilliseconds } = await world.append(target, events);
  const { lastMilliseconds, repeated, outOfOrder } = await within(complete());
  return { count, rate: count / ((lastMilliseconds - committedMilliseconds) / 1_000), repeated, outOfOrder };
}

/** An engine that stands still ends the benchmark. */
function within<Value>(arrival: Promise<Value>): Promise<Value> {
  const end = sleep(giveUpSeconds * 1_000, undefined, { ref: false });
  return Promise.race([arrival, end.then(() => Promise.reject(new Error(`not all had come after ${giveUpSeconds} s`)))]);
}

/** The cells of a row. */
async function latency(world: DeliveryBenchWorld, target: Target): Promise<string> {
  await sleep(2_000);
  const complete = await world.expect({ deliveries: samples, keepArrivals: true });
  const committed = new Map<string, number>();
  for (let sample = 0; sample < samples; sample += 1) {
    const { committedMilliseconds, ids } = await world.append(target, 1);
    committed.set(ids[0] as string, committedMilliseconds);
    await sleep(sampleMilliseconds);
  }
  const { arrivals } = await within(complete());
  const milliseconds = arrivals.map(([id, arrived]) => arrived - (committed.get(id) ?? Number.NaN)).sort((a, b) => a - b);
  return [0.5, 0.99, 1].map((fraction) => cell(percentile(milliseconds, fraction), 1, 6)).join('  ');
}

/** The cores are shared as in `bench:login`; null where there is no `taskset`, or one core only. */
function pinThisProcess(): string | null {
  try {
    execFileSync('taskset', ['-cp', '1', String(process.pid)], { stdio: 'pipe' });
    return '0';
  } catch {
    return null;
  }
}

function cell(value: number, digits: number, width: number): string {
  return value.toFixed(digits).padStart(width);
}
