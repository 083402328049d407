import { execFileSync } from 'node:child_process';
import { administer, withDatabase } from '../support/database-administration.ts';
import { startTestPostgres, startTestRedis } from '../support/servers.ts';
import { describeMachine } from './process-figures.ts';
import { createWorkspacesWorld, type WorkspacesWorld } from './workspaces-world.ts';

/** What a login costs the server as the instance grows: it reads mapping and catalogue of one workspace, however many there are. */
export async function benchLogins({ logins, print }: { readonly logins: number; readonly print: (line: string) => void }) {
  const [serverCore, loadCore] = ['0', '1'];
  execFileSync('taskset', ['-cp', loadCore, String(process.pid)]);
  const postgres = await startTestPostgres();
  const redis = await startTestRedis();
  const measured = { logins, serverCore, redisUrl: redis?.url ?? null, postgresUrl: postgres.url };
  print(`\nMachine: ${describeMachine()}`);
  print(`Postgres: ${postgres.source}. Redis: ${redis?.source ?? 'none'}. Server alone on core ${serverCore}.`);
  print(`${logins} complete logins by SAML a row, 8 under way, spread over the workspaces; nobody's membership changes.\n`);
  print(
    'workspaces  groups each  caches            CPU ms/login  Postgres round trips/login  look-ups in process  peak RSS MiB  errors',
  );
  try {
    for (const [workspaces, groupsPerCatalogue] of [
      [1, 40],
      [1_000, 40],
      [10_000, 40],
      [1, 10_000],
    ] as const) {
      await benchSize({ ...measured, workspaces, groupsPerCatalogue, print });
    }
  } finally {
    await redis?.stop();
    await postgres.stop();
  }
}

async function benchSize(options: {
  readonly logins: number;
  readonly serverCore: string;
  readonly redisUrl: string | null;
  readonly postgresUrl: string;
  readonly workspaces: number;
  readonly groupsPerCatalogue: number;
  readonly print: (line: string) => void;
}): Promise<void> {
  const { workspaces, groupsPerCatalogue, logins, print } = options;
  const name = `bench_${process.pid}_${workspaces}_${groupsPerCatalogue}`;
  await administer(options.postgresUrl, `CREATE DATABASE ${name}`);
  const world = await createWorkspacesWorld({ ...options, databaseUrl: withDatabase(options.postgresUrl, name) });
  const row = async (caches: string) => {
    const cells = await run(world, logins);
    print([String(workspaces).padStart(10), String(groupsPerCatalogue).padStart(11), caches.padEnd(16), ...cells].join('  '));
  };
  try {
    // All connections in memory, as after a morning of logins everywhere. The first pass makes the memberships; three warm the process up.
    await world.touchAll();
    for (let pass = 0; pass < 3; pass += 1) await run(world, logins);
    await row('warm');
    if (workspaces > 1) {
      await world.restart();
      // Warm code, cold caches: all logins at the first workspace.
      await run(world, logins, 1);
      await row('first look');
    }
  } finally {
    await world.stop();
    await administer(options.postgresUrl, `DROP DATABASE ${name} WITH (FORCE)`);
  }
}

const concurrency = 8;

/** @returns cells of a row @param places logins go to the first so many workspaces; all of them unless told */
async function run(world: WorkspacesWorld, logins: number, places = Number.POSITIVE_INFINITY): Promise<readonly string[]> {
  world.server().cpuMilliseconds();
  world.server().resetPeak();
  world.roundTrips();
  const before = await world.lookups();
  let next = 0;
  let errors = 0;
  const worker = async () => {
    while (next < logins) {
      const workspace = next++;
      try {
        await world.logIn(workspace % places);
      } catch (error) {
        if (errors === 0) console.error(error);
        errors += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const after = await world.lookups();
  const grown = (level: string) => (after[level] ?? 0) - (before[level] ?? 0);
  const all = grown('process') + grown('redis') + grown('postgres');
  const cell = (value: number, digits: number, width: number) => value.toFixed(digits).padStart(width);
  return [
    cell(world.server().cpuMilliseconds() / logins, 2, 12),
    cell(world.roundTrips() / logins, 2, 26),
    `${cell((100 * grown('process')) / all, 1, 17)} %`,
    cell(world.server().peakMebibytes(), 0, 12),
    cell(errors, 0, 6),
  ];
}
