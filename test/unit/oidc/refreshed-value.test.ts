import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { createRefreshedValue } from '../../../src/oidc/refreshed-value.ts';

const unavailable = () => new BrokerError('upstream_unavailable', 'down', { reason: 'connect' });
const misconfigured = () => new BrokerError('upstream_misconfigured', 'broken', { reason: 'issuer_mismatch' });

/** Counts loads; `next` is what the coming one gives. */
function world() {
  const state = { seconds: 1_000, loads: 0, next: (): number => state.loads };
  const value = createRefreshedValue({
    load: async () => {
      state.loads += 1;
      return state.next();
    },
    now: () => new Date(state.seconds * 1_000),
    refreshSeconds: 100,
    graceSeconds: 50,
    retrySeconds: 5,
    renewCooldownSeconds: 30,
  });
  const failWith = (error: () => Error) => {
    state.next = () => {
      throw error();
    };
  };
  const succeed = () => {
    state.next = () => state.loads;
  };
  return { state, value, failWith, succeed };
}

describe('a refreshed value', () => {
  test('is loaded once for all who ask at once, and again when it is due', async () => {
    const { state, value } = world();
    expect(await Promise.all([value.get(), value.get(), value.get()])).toEqual([1, 1, 1]);
    state.seconds += 99;
    expect(await value.get()).toBe(1);
    state.seconds += 1;
    expect(await Promise.all([value.get(), value.get()])).toEqual([2, 2]);
  });

  test('serves on while its source is unavailable, until the grace ends', async () => {
    const { state, value, failWith, succeed } = world();
    await value.get();
    failWith(unavailable);
    state.seconds += 120;
    expect(await value.get()).toBe(1);
    expect(state.loads).toBe(2);
    state.seconds += 30;
    await expect(value.get()).rejects.toMatchObject({ code: 'upstream_unavailable' });
    succeed();
    state.seconds += 6;
    expect(await value.get()).toBe(4);
  });

  test('does not serve on when its source now says something wrong', async () => {
    const { state, value, failWith } = world();
    await value.get();
    failWith(misconfigured);
    state.seconds += 120;
    await expect(value.get()).rejects.toMatchObject({ code: 'upstream_misconfigured' });
  });

  test('remembers a failure for the retry time, no longer', async () => {
    const { state, value, failWith, succeed } = world();
    failWith(unavailable);
    await expect(value.get()).rejects.toMatchObject({ reason: 'connect' });
    succeed();
    state.seconds += 4;
    await expect(value.get()).rejects.toMatchObject({ reason: 'connect' });
    expect(state.loads).toBe(1);
    state.seconds += 1;
    expect(await value.get()).toBe(2);
  });

  test('is renewed at once when asked, then not before the cool-down is over', async () => {
    const { state, value } = world();
    await value.get();
    expect(await Promise.all([value.renew(), value.renew()])).toEqual([2, 2]);
    expect(await value.renew()).toBe(2);
    state.seconds += 29;
    expect(await value.renew()).toBe(2);
    state.seconds += 1;
    expect(await value.renew()).toBe(3);
  });

  test('whose renewal failed fails within the cool-down instead of passing for renewed', async () => {
    const { state, value, failWith, succeed } = world();
    await value.get();
    failWith(unavailable);
    await expect(value.renew()).rejects.toMatchObject({ reason: 'connect' });
    await expect(value.renew()).rejects.toMatchObject({ reason: 'connect' });
    expect(state.loads).toBe(2);
    expect(await value.get()).toBe(1);
    succeed();
    state.seconds += 31;
    expect(await value.renew()).toBe(3);
  });
});
