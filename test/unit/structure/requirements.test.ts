import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Test support that speaks HTTP to a broker, to its API alone, or to the demo's processes. */
const worlds = /support\/(broker-world|api-world|levels-world|plan-world|browser)|startBrokerWorld/;
const lastRequirement = 40;

const files = ['test/integration', 'test/e2e'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8')),
);

/** Numbers that stand in the titles of tests: `R17 …`, `R18 R19 …`, also where a title continues its group's. */
function numbersIn(text: string): Set<number> {
  const titles = text.match(/['"`](?:\d )?R\d+[ ,][^'"`\n]*/g) ?? [];
  return new Set(titles.flatMap((title) => [...title.matchAll(/\bR(\d+)\b/g)].map(([, number]) => Number(number))));
}

test('the reader of titles sees a requirement that no test names', () => {
  const text = "test('R1 a', () => {}); describe('R2 R3 b', () => {}); it('R4, R5 c'); // R6\nexpect('R7')";
  expect([...numbersIn(text)]).toEqual([1, 2, 3, 4, 5]);
});

test.each(Array.from({ length: lastRequirement }, (_, index) => index + 1))(
  'R%i has tests through HTTP that name it',
  (number) => {
    const naming = files.filter((text) => worlds.test(text) && numbersIn(text).has(number));
    expect(naming.length).toBeGreaterThan(0);
  },
);
