import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lchown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { BrokerError } from '../domain/broker-error.ts';
import type { Binaries } from './embedded-postgres-binaries.ts';
import type { Place } from './embedded-postgres-place.ts';
import type { Log } from './log.ts';
import { randomToken } from './unique-id.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export const userName = 'rollcall';
const passwordFile = 'rollcall-password';

interface ClusterOptions {
  readonly cluster: string;
  readonly binaries: Binaries;
  readonly place: Place;
  readonly durable: boolean;
  readonly log: Log;
}

/**
 * Makes the cluster if there is none. It is complete, password included, before it gets its name: a start that was cut off
 * leaves nothing half-made, and of two simultaneous starts one wins and the other uses that one's.
 */
export async function createCluster({ cluster, binaries, place, durable, log }: ClusterOptions): Promise<void> {
  if (await stat(join(cluster, 'PG_VERSION')).catch(() => null)) return;
  await removeLeftovers(place.home);
  log.info({ folder: cluster, major: binaries.major }, 'creating the embedded Postgres database');
  const fresh = join(place.home, `new-cluster-${randomBytes(6).toString('hex')}`);
  const secret = `${fresh}.password`;
  try {
    await writeFile(secret, randomToken(), { mode: 0o600, flag: 'wx' });
    await mkdir(fresh, { mode: 0o700 });
    if (place.account) for (const path of [secret, fresh]) await lchown(path, place.account.uid, place.account.gid);
    await promisify(execFile)(join(binaries.folder, 'bin', 'initdb'), initArguments(fresh, secret, binaries.major, durable), {
      ...place.account,
      cwd: place.home,
      env: serverEnvironment,
    });
    await rename(secret, join(fresh, passwordFile));
    await rename(fresh, cluster);
  } catch (cause) {
    await rm(fresh, { recursive: true, force: true });
    await rm(secret, { force: true });
    if (await stat(join(cluster, passwordFile)).catch(() => null)) return;
    const said = (cause as { stderr?: string }).stderr?.trim() || (cause instanceof Error ? cause.message : String(cause));
    throw new BrokerError(
      'unavailable',
      `the embedded Postgres database cannot be made in ${cluster}: ${said}. DATABASE_URL names a server of your own.`,
      {
        cause,
        reason: 'embedded_postgres_failed',
      },
    );
  }
}

/** Without the caller's PG… variables, in one language and zone everywhere. */
export const serverEnvironment: NodeJS.ProcessEnv = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };

function initArguments(folder: string, passwordPath: string, major: number, durable: boolean): string[] {
  // The built-in provider orders by code point and folds case by Unicode, alike on every machine.
  const locale = major >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : [];
  return [
    `--pgdata=${folder}`,
    `--username=${userName}`,
    `--pwfile=${passwordPath}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    ...locale,
    // Small segments make the test's many clusters small: a log segment is written in full.
    ...(durable ? [] : ['--no-sync', '--wal-segsize=1']),
  ];
}

export async function readPassword(cluster: string): Promise<string> {
  try {
    return (await readFile(join(cluster, passwordFile), 'utf8')).trim();
  } catch (cause) {
    throw new BrokerError(
      'unavailable',
      `the password of the embedded Postgres cannot be read from ${join(cluster, passwordFile)}. ` +
        `If the data may go, delete ${dirname(cluster)}; otherwise restore the file, or name a server of your own in DATABASE_URL.`,
      { cause, reason: 'embedded_postgres_password' },
    );
  }
}

const leftoverMinutes = 10;

/** What a start that was killed left behind. Younger ones may belong to a start under way. */
async function removeLeftovers(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (!/^new-(cluster|binaries|server)-/.test(name)) continue;
    const found = await stat(join(home, name)).catch(() => null);
    if (found && Date.now() - found.mtimeMs > leftoverMinutes * 60_000)
      await rm(join(home, name), { recursive: true, force: true });
  }
}
