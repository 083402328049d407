import { setTimeout as sleep } from 'node:timers/promises';
import type { Protocol } from '../bench/login-world.ts';
import type { FaultRandom } from '../support/fault-random.ts';
import type { FaultWorld } from '../support/fault-world.ts';
import { countFailedCommits, failCommits, healCommits } from './failing-commits.ts';

/** Something that happens to a running instance, again and again, while people sign in and the app's receiver fails at random. */
export interface Scenario {
  readonly name: string;
  readonly servers: number;
  /** Has a Postgres of its own, which can be restarted. */
  readonly ownPostgres: boolean;
  readonly protocols: readonly Protocol[];
  /** Before the first login. */
  prepare?(world: FaultWorld, random: FaultRandom): Promise<void>;
  /** At each of the run's random points. */
  strike(world: FaultWorld, random: FaultRandom): Promise<void>;
  /** After the last login and the last strike. */
  heal?(world: FaultWorld): Promise<void>;
  /** How often the thing happened, where it is not the strikes that tell. */
  count?(world: FaultWorld): Promise<number>;
}

const both = ['saml', 'oidc'] as const;
const hourMilliseconds = 3_600_000;

async function killOne(world: FaultWorld, random: FaultRandom): Promise<void> {
  const server = random.pick(world.servers);
  await server.kill();
  server.start();
  // One in four dies again while it starts.
  if (random.next() < 0.25) {
    await sleep(random.between(50, 800));
    await server.kill();
  }
  await server.untilReady();
}

const kill: Scenario = { name: 'kill -9', servers: 1, ownPostgres: false, protocols: both, strike: killOne };

const twoWorkers: Scenario = { ...kill, name: 'two workers, one killed', servers: 2 };

const postgresRestart: Scenario = {
  name: 'Postgres restart',
  servers: 1,
  ownPostgres: true,
  protocols: both,
  async strike(world, random) {
    await world.postgres?.restart(random.pick(['orderly', 'crash']));
  },
};

const redisLoss: Scenario = {
  name: 'Redis stop and flush',
  servers: 2,
  ownPostgres: false,
  protocols: both,
  async strike(world, random) {
    if (random.next() < 0.4) return world.flushRedis();
    await world.redis?.kill();
    await sleep(random.between(100, 1_500));
    await world.redis?.restart();
  },
};

/**
 * Two servers, the clock of each steps by itself, an hour ahead or back. The clock of Postgres cannot be stepped from here: it is the
 * machine's. SAML only: the OpenID Connect identity provider of these tests keeps the true time, and its tokens would be refused.
 */
const clockStep: Scenario = {
  name: 'clock steps of an hour',
  servers: 2,
  ownPostgres: false,
  protocols: ['saml'],
  async strike(world, random) {
    const server = random.pick(world.servers);
    const others = [-hourMilliseconds, 0, hourMilliseconds].filter((ahead) => ahead !== server.clockAheadMilliseconds);
    server.stepClock(random.pick(others));
    if (random.next() < 0.3) await killOne(world, random);
  },
};

/** A full disk as programs meet it: COMMIT fails with disk_full (53100). Each strike kills a server as well, while commits fail. */
const diskFull: Scenario = {
  name: 'failing commits',
  servers: 1,
  ownPostgres: false,
  protocols: both,
  prepare: (world, random) => failCommits(world.db, { percent: 15, seed: random.between(1, 1_000_000) }),
  strike: killOne,
  heal: (world) => healCommits(world.db),
  count: (world) => countFailedCommits(world.db),
};

export const scenarios: readonly Scenario[] = [kill, postgresRestart, redisLoss, twoWorkers, clockStep, diskFull];
