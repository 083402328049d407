import { setTimeout as sleep } from 'node:timers/promises';
import { createFaultRandom } from '../support/fault-random.ts';
import { createFaultWorld, type FaultWorld } from '../support/fault-world.ts';
import { countWaiting, readCommitted, readMembers, readSnapshot } from './evidence.ts';
import { followLog } from './log-follower.ts';
import { runLogins } from './logins.ts';
import type { Scenario } from './scenarios.ts';
import { countUntaken, isClean, judge, type Verdict } from './verdict.ts';

export interface RunOptions {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly logins: number;
  readonly users: number;
  readonly concurrency: number;
  /** While people sign in; one more comes after the last login. */
  readonly strikes: number;
  /** How long the receiver goes on failing when everything else is well again. */
  readonly afterwardsSeconds: number;
  /** A Postgres server for scenarios that need none of their own. */
  readonly adminUrl: string;
}

export interface RunResult extends Verdict {
  readonly scenario: string;
  readonly seed: number;
  readonly logins: number;
  readonly failedLogins: number;
  readonly kills: number;
  /** Strikes, or what they made happen: failed commits. */
  readonly faults: number;
  /** Deliveries that Postgres still calls waiting at the end. */
  readonly waiting: number;
  readonly largestClockDifferenceSeconds: number;
  readonly seconds: number;
  /** The end of the servers' logs when something was wrong. */
  readonly words: string;
}

/** Longer than a lease, a retry and a poll together. */
const silenceSeconds = 20;

/** One run of a scenario: people sign in, it strikes, everything heals, and what the app holds is compared with what committed. */
export async function runScenario(options: RunOptions): Promise<RunResult> {
  const { scenario, seed, logins } = options;
  const startedAt = performance.now();
  const random = createFaultRandom(seed);
  const world = await createFaultWorld({
    adminUrl: scenario.ownPostgres ? null : options.adminUrl,
    servers: scenario.servers,
    redis: true,
    random: random.fork(),
  });
  try {
    await scenario.prepare?.(world, random.fork());
    const follower = followLog(world);
    const strikes = createStrikes(options, world, random.fork());
    const loginRun = await runLogins(world, {
      ...options,
      ...scenario,
      logins,
      random: random.fork(),
      onProgress: strikes.reach,
    });
    await strikes.finish();
    await scenario.heal?.(world);
    await Promise.all(world.servers.map((server) => server.untilReady()));
    await drain(world, options.afterwardsSeconds);
    world.receiver.heal();
    await drain(world, Number.POSITIVE_INFINITY);
    await follower.finish();
    const snapshot = await readSnapshot(world);
    const verdict = judge({
      committed: await readCommitted(world),
      members: await readMembers(world),
      snapshot: snapshot.members,
      digest: snapshot.digest,
      app: world.receiver,
      claims: loginRun.claims,
      log: follower.ids,
    });
    return {
      ...verdict,
      scenario: scenario.name,
      seed,
      logins,
      failedLogins: loginRun.failed,
      kills: world.servers.reduce((sum, { kills }) => sum + kills, 0),
      faults: (await scenario.count?.(world)) ?? strikes.count(),
      waiting: await countWaiting(world),
      largestClockDifferenceSeconds: Math.round(world.receiver.counts.largestClockDifferenceMilliseconds / 1_000),
      seconds: (performance.now() - startedAt) / 1_000,
      words: isClean(verdict) ? '' : world.servers.map((server) => server.lastWords()).join('\n'),
    };
  } finally {
    await world.stop();
  }
}

/** Strikes at random numbers of logins, one after the other, and once more after the last login. */
function createStrikes(
  { scenario, strikes, logins }: RunOptions,
  world: FaultWorld,
  random: ReturnType<typeof createFaultRandom>,
) {
  const points = Array.from({ length: strikes }, () => random.between(1, logins)).sort((a, b) => a - b);
  let count = 0;
  let last: Promise<void> = Promise.resolve();
  const strike = (): void => {
    count += 1;
    last = last.then(async () => {
      await sleep(random.between(0, 50));
      await scenario.strike(world, random);
    });
    // Reported by `finish`; the next strike must not be taken for unhandled meanwhile.
    last.catch(() => undefined);
  };
  return {
    count: () => count,
    reach(done: number): void {
      while ((points[0] ?? Number.POSITIVE_INFINITY) <= done) {
        points.shift();
        strike();
      }
    },
    async finish(): Promise<void> {
      await last;
      strike();
      await last;
    },
  };
}

/** Waits until the app has everything and the engine knows it, or nothing comes any more: what is missing is the verdict's to tell. */
async function drain(world: FaultWorld, seconds: number): Promise<void> {
  let requests = -1;
  const startedAt = performance.now();
  let silentSince = startedAt;
  while (performance.now() < Math.min(silentSince + silenceSeconds * 1_000, startedAt + seconds * 1_000)) {
    const committed = await readCommitted(world);
    if (countUntaken({ committed, app: world.receiver }) === 0 && (await countWaiting(world)) === 0) return;
    if (requests !== world.receiver.counts.requests) silentSince = performance.now();
    requests = world.receiver.counts.requests;
    await sleep(200);
  }
}
