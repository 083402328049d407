import { setTimeout as sleep } from 'node:timers/promises';
import type { LoginClaims, Protocol } from '../bench/login-world.ts';
import type { FaultRandom } from '../support/fault-random.ts';
import type { FaultWorld } from '../support/fault-world.ts';

export interface LoginRun {
  /** What the app learnt at each login that succeeded. */
  readonly claims: LoginClaims[];
  /** Logins that failed because something was away; people tried again. */
  failed: number;
}

const maxGroups = 10;
const catalogueGroups = 40;
const giveUpSeconds = 120;
const retryPauseMilliseconds = 100;

/**
 * People sign in, several at a time, the same person also twice at once; who fails starts again, perhaps at another server. Every
 * login brings other groups, so that nearly every one changes a membership.
 * @param onProgress called after each login with how many there have been
 */
export async function runLogins(
  world: FaultWorld,
  options: {
    readonly random: FaultRandom;
    readonly logins: number;
    readonly users: number;
    readonly concurrency: number;
    readonly protocols: readonly Protocol[];
    readonly onProgress: (logins: number) => void;
  },
): Promise<LoginRun> {
  const { random } = options;
  const run: LoginRun = { claims: [], failed: 0 };
  let begun = 0;

  async function logInUntilDone(): Promise<void> {
    const login = {
      protocol: random.pick(options.protocols),
      user: random.between(1, options.users),
      groups: chooseGroups(random),
    };
    const end = performance.now() + giveUpSeconds * 1_000;
    for (;;) {
      try {
        run.claims.push(await world.logIn(random.pick(world.servers), login));
        return;
      } catch (error) {
        run.failed += 1;
        if (performance.now() > end) throw error;
        await sleep(retryPauseMilliseconds);
      }
    }
  }

  async function person(): Promise<void> {
    while (begun < options.logins) {
      begun += 1;
      await logInUntilDone();
      options.onProgress(run.claims.length);
    }
  }

  await Promise.all(Array.from({ length: options.concurrency }, person));
  return run;
}

function chooseGroups(random: FaultRandom): string[] {
  const first = random.between(0, catalogueGroups - 1);
  return Array.from({ length: random.between(1, maxGroups) }, (_, n) => `group-${(first + n * 3) % catalogueGroups}`);
}
