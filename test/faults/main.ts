/**
 * The fault suite: people sign in, the app's receiver fails at random, and servers, Postgres, Redis, clocks and commits fail one
 * after the other. At the end of each run the app must hold exactly what committed.
 *
 *   npm run test:faults                                   the short form, as CI runs it
 *   npm run test:faults -- --long                         2,000 logins in each run, every scenario twice: 12 runs
 *   npm run test:faults -- --long --rounds 5 --seed 7     other numbers; a seed chooses the same faults again
 *   npm run test:faults -- --scenario redis               only those whose name contains the word
 */
import { parseArgs } from 'node:util';
import { describeMachine } from '../bench/process-figures.ts';
import { startTestPostgres } from '../support/servers.ts';
import { longForm, shortForm } from './forms.ts';
import { header, lineOf } from './report.ts';
import { type RunResult, runScenario } from './run.ts';
import { scenarios } from './scenarios.ts';
import { isClean } from './verdict.ts';

const { values } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    seed: { type: 'string' },
    rounds: { type: 'string' },
    logins: { type: 'string' },
    strikes: { type: 'string' },
    scenario: { type: 'string', default: '' },
  },
});
const form = values.long ? longForm : shortForm;
const rounds = Number(values.rounds ?? form.rounds);
const firstSeed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const chosen = scenarios.filter(({ name }) => name.toLowerCase().includes(values.scenario.toLowerCase()));
const postgres = await startTestPostgres();
console.log(`Machine: ${describeMachine()}. Postgres: ${postgres.source}. Seed ${firstSeed}.\n\n${header}`);

const results: RunResult[] = [];
try {
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, scenario] of chosen.entries()) {
      const result = await runScenario({
        ...form,
        logins: Number(values.logins ?? form.logins),
        strikes: Number(values.strikes ?? form.strikes),
        scenario,
        seed: firstSeed + round * chosen.length + index,
        adminUrl: postgres.url,
      });
      console.log(lineOf(result));
      if (!isClean(result)) console.log(result.words);
      results.push(result);
    }
  }
} finally {
  await postgres.stop();
}
const sum = (count: (run: RunResult) => number) => results.reduce((total, run) => total + count(run), 0);
console.log(
  `\n${results.length} runs: ${sum(({ logins }) => logins)} logins, ${sum(({ events }) => events)} events, ${sum(({ kills }) => kills)} kills, ` +
    `${sum(({ lost }) => lost)} lost, ${sum(({ reordered }) => reordered)} reordered, ${sum(({ drift }) => drift)} drift; ` +
    `a worker's clock was seen up to ${Math.max(...results.map(({ largestClockDifferenceSeconds }) => largestClockDifferenceSeconds))} s off.`,
);
if (!results.every((run) => isClean(run) && run.waiting === 0)) process.exitCode = 1;
