import { expect, test } from 'vitest';
import { createBreaker } from '../../../src/infra/breaker.ts';

function build() {
  let elapsed = 0;
  const changes: string[] = [];
  const breaker = createBreaker({
    pauseMilliseconds: 1_000,
    elapsedMilliseconds: () => elapsed,
    onChange: (state) => changes.push(state),
  });
  let runs = 0;
  const succeed = () => breaker.attempt(async () => ++runs);
  const fail = () =>
    breaker.attempt(async () => {
      runs += 1;
      throw new Error('away');
    });
  return { breaker, succeed, fail, changes, runs: () => runs, pass: (milliseconds: number) => (elapsed += milliseconds) };
}

test('passes answers through while all is well', async () => {
  const { succeed, changes } = build();
  expect(await succeed()).toEqual({ answered: true, value: 1 });
  expect(changes).toEqual([]);
});

test('after a failure nothing is run for the pause', async () => {
  const { succeed, fail, runs, pass } = build();
  expect(await fail()).toEqual({ answered: false });
  pass(999);
  expect(await succeed()).toEqual({ answered: false });
  expect(runs()).toBe(1);
});

test('after the pause one caller probes, and a success lets everybody through', async () => {
  const { succeed, fail, pass, changes } = build();
  await fail();
  pass(1_000);
  expect(await succeed()).toMatchObject({ answered: true });
  expect(await succeed()).toMatchObject({ answered: true });
  expect(changes).toEqual(['failing', 'working']);
});

test('while one probes, the others are not made to wait', async () => {
  const { breaker, succeed, fail, pass } = build();
  await fail();
  pass(1_000);
  let release = () => {};
  const probe = breaker.attempt(() => new Promise<void>((resolve) => (release = resolve)));
  expect(await succeed()).toEqual({ answered: false });
  release();
  expect(await probe).toMatchObject({ answered: true });
  expect(await succeed()).toMatchObject({ answered: true });
});

test('a failed probe starts another pause, without saying so again', async () => {
  const { succeed, fail, pass, changes } = build();
  await fail();
  pass(1_000);
  await fail();
  pass(999);
  expect(await succeed()).toEqual({ answered: false });
  expect(changes).toEqual(['failing']);
});
