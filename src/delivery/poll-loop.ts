import { backoffMilliseconds } from './schedule.ts';

export interface PollLoop {
  start(): void;
  /** There is work: ends the pause. A call during a step makes another step follow it. */
  wake(): void;
  /** Resolves when the step that runs has ended; no other follows. */
  stop(): Promise<void>;
}

/**
 * Calls `step` again and again, never twice at a time. It returns how long to pause, in milliseconds; a failure is told and answered
 * with a growing pause that `wake` does not cut short, so that a server that is away is not stormed.
 */
export function createPollLoop(deps: {
  readonly step: () => Promise<number>;
  readonly onError: (error: unknown, failures: number) => void;
}): PollLoop {
  let stopped = false;
  let woken = false;
  let failures = 0;
  let endPause: (() => void) | null = null;
  let running: Promise<void> = Promise.resolve();

  async function run(): Promise<void> {
    while (!stopped) {
      woken = false;
      const pauseMilliseconds = await stepOnce();
      if (!stopped && !(woken && failures === 0)) await pause(pauseMilliseconds);
    }
  }

  async function stepOnce(): Promise<number> {
    try {
      const pauseMilliseconds = await deps.step();
      failures = 0;
      return pauseMilliseconds;
    } catch (error) {
      failures += 1;
      deps.onError(error, failures);
      return backoffMilliseconds(failures);
    }
  }

  function pause(milliseconds: number): Promise<void> {
    if (milliseconds <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    start() {
      running = run();
    },
    wake() {
      woken = true;
      if (failures === 0) endPause?.();
    },
    stop() {
      stopped = true;
      endPause?.();
      return running;
    },
  };
}
