import { describe, expect, inject, test } from 'vitest';
import { hasRedisServer } from '../support/servers.ts';
import { shortForm } from './forms.ts';
import { header, lineOf } from './report.ts';
import { runScenario } from './run.ts';
import { type Scenario, scenarios } from './scenarios.ts';

const firstSeed = Number(process.env.FAULT_SEED ?? Math.floor(Math.random() * 1_000_000));

const atOnce = 2;

describe.skipIf(!hasRedisServer())('R40 the app holds what committed, whatever dies on the way (needs redis-server)', () => {
  // Two at a time: much of a run is waiting for processes and leases.
  for (let first = 0; first < scenarios.length; first += atOnce) {
    describe(`${first / atOnce + 1}`, () => {
      for (const [index, scenario] of scenarios.slice(first, first + atOnce).entries()) {
        test.concurrent(scenario.name, { timeout: 120_000 }, () => check(scenario, firstSeed + first + index));
      }
    });
  }
});

async function check(scenario: Scenario, seed: number): Promise<void> {
  const result = await runScenario({ ...shortForm, scenario, seed, adminUrl: inject('postgres').adminUrl });
  console.log(`${header}\n${lineOf(result)}`);
  expect(result, result.words).toMatchObject({ lost: 0, reordered: 0, drift: 0, phantom: 0, altered: 0, log: 0, waiting: 0 });
  expect(result.changed).toBeGreaterThan(shortForm.logins / 2);
  expect(result.deliveries).toBe(result.events);
  expect(result.faults).toBeGreaterThan(0);
}
