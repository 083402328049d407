import { describe, expect, test } from 'vitest';
import { createRevisionFeed, type Revised } from '../../../src/infra/revision-feed.ts';
import { recordingLog } from '../../support/quiet-log.ts';

type Reading = { horizon: string; revised: Revised[] };

function build() {
  const asked: (string | null)[] = [];
  const answers: ((reading: Reading | Error) => void)[] = [];
  const revised: Revised[] = [];
  let gaps = 0;
  let elapsed = 1_000;
  const { log, lines } = recordingLog();
  const feed = createRevisionFeed<string>({
    read: (since) => {
      asked.push(since);
      return new Promise((resolve, reject) =>
        answers.push((reading) => (reading instanceof Error ? reject(reading) : resolve(reading))),
      );
    },
    onRevised: (each) => revised.push(each),
    onGap: () => (gaps += 1),
    maxStaleMilliseconds: 40,
    log,
    elapsedMilliseconds: () => elapsed,
  });
  const check = async (reading: Reading | Error) => {
    const pending = feed.check();
    answers.at(-1)?.(reading);
    await pending;
  };
  return {
    feed,
    asked,
    answers,
    revised,
    lines,
    gaps: () => gaps,
    check,
    pass: (milliseconds: number) => (elapsed += milliseconds),
  };
}

const a: Revised = { kind: 'connection', id: 'a', revision: '1' };

describe('revision feed', () => {
  test('the first reading tells where to go on, and that nothing from before counts', async () => {
    const { check, asked, revised, gaps } = build();
    await check({ horizon: '100', revised: [a] });
    await check({ horizon: '107', revised: [a] });
    await check({ horizon: '107', revised: [] });
    expect(asked).toEqual([null, '100', '107']);
    expect([revised, gaps()]).toEqual([[a], 1]);
  });

  test('a horizon that went back is another database: nothing counts any more', async () => {
    const { check, gaps, revised } = build();
    await check({ horizon: '100', revised: [] });
    await check({ horizon: '99', revised: [a] });
    expect([gaps(), revised]).toEqual([2, []]);
    await check({ horizon: '1000', revised: [a] });
    expect([gaps(), revised]).toEqual([2, [a]]);
  });

  test('confirms the moment at which a reading began, and only when it succeeded', async () => {
    const { feed, answers, pass, check } = build();
    const pending = feed.check();
    pass(500);
    answers[0]?.({ horizon: '1', revised: [] });
    await pending;
    expect(feed.confirmedAt()).toBe(1_000);
    await expect(check(new Error('away'))).rejects.toThrow('away');
    expect(feed.confirmedAt()).toBe(1_000);
    await check({ horizon: '2', revised: [] });
    expect(feed.confirmedAt()).toBe(1_500);
  });

  test('all who ask while a reading is under way share it', async () => {
    const { feed, answers, asked } = build();
    const pending = [feed.check(), feed.check(), feed.check()];
    answers[0]?.({ horizon: '1', revised: [] });
    await Promise.all(pending);
    expect(asked).toHaveLength(1);
  });

  test('a failed reading is made up for: the next goes on from the same place', async () => {
    const { check, asked } = build();
    await check({ horizon: '5', revised: [] });
    await check(new Error('away')).catch(() => {});
    await check({ horizon: '6', revised: [] });
    expect(asked).toEqual([null, '5', '5']);
  });

  test('started it reads by itself, says once that it cannot, and stops', async () => {
    const { feed, answers, asked, lines } = build();
    feed.start();
    feed.start();
    for (let reading = 0; reading < 3; reading += 1) {
      while (answers.length <= reading) await new Promise((resolve) => setTimeout(resolve, 5));
      answers[reading]?.(reading === 0 ? { horizon: '1', revised: [] } : new Error('away'));
    }
    while (answers.length <= 3) await new Promise((resolve) => setTimeout(resolve, 5));
    answers[3]?.({ horizon: '2', revised: [] });
    await feed.stop();
    const readings = asked.length;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(asked).toHaveLength(readings);
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });
});
