import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPollLoop } from '../../../src/delivery/poll-loop.ts';

describe('a poll loop', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Steps that pause for a second; `fail` makes them throw. */
  function countingLoop() {
    const state = { steps: 0, errors: [] as number[], fail: false, gate: null as Promise<void> | null };
    const loop = createPollLoop({
      async step() {
        state.steps += 1;
        await state.gate;
        if (state.fail) throw new Error('away');
        return 1_000;
      },
      onError: (_, failures) => state.errors.push(failures),
    });
    return { loop, state };
  }

  it('steps once per pause', async () => {
    const { loop, state } = countingLoop();
    loop.start();
    await vi.advanceTimersByTimeAsync(2_500);
    expect(state.steps).toBe(3);
    await loop.stop();
  });

  it('steps at once when it is woken', async () => {
    const { loop, state } = countingLoop();
    loop.start();
    await vi.advanceTimersByTimeAsync(10);
    loop.wake();
    await vi.advanceTimersByTimeAsync(10);
    expect(state.steps).toBe(2);
    await loop.stop();
  });

  it('steps again after a step during which it was woken', async () => {
    const { loop, state } = countingLoop();
    let open = () => {};
    state.gate = new Promise((resolve) => {
      open = resolve;
    });
    loop.start();
    await vi.advanceTimersByTimeAsync(10);
    loop.wake();
    state.gate = null;
    open();
    await vi.advanceTimersByTimeAsync(10);
    expect(state.steps).toBe(2);
    await loop.stop();
  });

  it('backs off while steps fail, whoever wakes it, and goes on by itself', async () => {
    const { loop, state } = countingLoop();
    state.fail = true;
    loop.start();
    for (let elapsed = 0; elapsed < 3_000; elapsed += 10) {
      loop.wake();
      await vi.advanceTimersByTimeAsync(10);
    }
    // Pauses of 0.1, 0.2, 0.4, 0.8 and 1.6 s.
    expect(state.errors).toEqual([1, 2, 3, 4, 5]);
    state.fail = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.steps).toBeGreaterThan(10);
    await loop.stop();
  });

  it('ends with the step that runs, and starts no other', async () => {
    const { loop, state } = countingLoop();
    loop.start();
    await vi.advanceTimersByTimeAsync(10);
    await loop.stop();
    loop.wake();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.steps).toBe(1);
  });
});
