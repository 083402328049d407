import { execFile } from 'node:child_process';
import type { Stats } from 'node:fs';
import {
  access,
  chmod,
  constants,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { BrokerError } from '../domain/broker-error.ts';
import type { Log } from './log.ts';

/** Who runs the server, where this process is root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface Place {
  /** Holds `cluster`, the server's log and, where needed, a copy of the binaries. */
  readonly home: string;
  /** Null: the server runs as this process does. */
  readonly account: Account | null;
}

interface PlaceOptions {
  readonly dataFolder: string;
  readonly reachableFolders: readonly string[];
  readonly log: Log;
}

/** A folder that the server's account can enter, and that account. */
export async function preparePlace({ dataFolder, reachableFolders, log }: PlaceOptions): Promise<Place> {
  const folder = resolve(dataFolder);
  try {
    if (process.getuid?.() !== 0) return await prepareOwn(folder);
    return await prepareForOther(folder, reachableFolders, log);
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause;
    throw refused(folder, cause);
  }
}

async function prepareOwn(folder: string): Promise<Place> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const { uid } = await stat(folder);
  const own = process.getuid?.();
  if (own !== undefined && uid !== own) throw new Error(`it belongs to the user with id ${uid}, this process runs as ${own}`);
  return { home: await realpath(folder), account: null };
}

async function prepareForOther(folder: string, reachableFolders: readonly string[], log: Log): Promise<Place> {
  const { account, owner } = await chooseAccount(folder);
  const firstMade = await mkdir(folder, { recursive: true });
  if (owner !== null && firstMade !== undefined) await chownDown(firstMade, folder, owner);
  await openTo(folder, owner);
  if (await canEnter(folder, account)) return { home: await realpath(folder), account };
  return { home: await moveElsewhere({ folder, account, owner, reachableFolders, log }), account };
}

interface Choice {
  readonly account: Account;
  /**
   * Who owns the data folder: the project's owner, so that they can use and delete what root made in their project, or null for
   * root, so that nothing that runs as `nobody` can put a trap where root writes.
   */
  readonly owner: Account | null;
}

/** The owner of an existing cluster, else the owner of the nearest existing folder, else `nobody`: anyone but root. */
async function chooseAccount(folder: string): Promise<Choice> {
  const cluster = await stat(join(folder, 'cluster')).catch(() => null);
  const above = await nearestExisting(folder);
  const owner = above.uid !== 0 && (await hasName(above.uid)) ? { uid: above.uid, gid: above.gid } : null;
  if (cluster !== null && cluster.uid !== 0) return { account: { uid: cluster.uid, gid: cluster.gid }, owner };
  return { account: owner ?? (await nobody()), owner };
}

async function nearestExisting(folder: string): Promise<Stats> {
  const found = await stat(folder).catch(() => null);
  return found ?? nearestExisting(dirname(folder));
}

/** Others may pass through a folder of root's, not list it; the cluster below is closed to all but the server's account. */
async function openTo(folder: string, owner: Account | null): Promise<void> {
  if (owner !== null) await lchown(folder, owner.uid, owner.gid);
  await chmod(folder, owner === null ? 0o711 : 0o700);
}

async function nobody(): Promise<Account> {
  const entry = (await accounts()).find(([name]) => name === 'nobody');
  const uid = Number(entry?.[2]);
  const gid = Number(entry?.[3]);
  return uid > 0 && gid > 0 ? { uid, gid } : { uid: 65_534, gid: 65_534 };
}

/** initdb looks its user up by name: an id that has none cannot run it. */
async function hasName(uid: number): Promise<boolean> {
  return (await accounts()).some((fields) => fields[2] === String(uid));
}

async function accounts(): Promise<string[][]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text.split('\n').map((line) => line.split(':'));
}

async function chownDown(from: string, to: string, account: Account): Promise<void> {
  for (let path = to; path.length >= from.length; path = dirname(path)) await lchown(path, account.uid, account.gid);
}

/** Asks the kernel by trying it as the account: permission bits alone do not tell (access lists, mount options). */
export async function canEnter(folder: string, account: Account): Promise<boolean> {
  try {
    await promisify(execFile)('/bin/sh', ['-c', 'cd "$0"', folder], {
      uid: account.uid,
      gid: account.gid,
      cwd: '/',
    });
    return true;
  } catch {
    return false;
  }
}

interface ElsewhereOptions extends Choice {
  readonly folder: string;
  readonly reachableFolders: readonly string[];
  readonly log: Log;
}

/**
 * Root often works below a folder that nobody else can enter (`/root`). The data then goes to a folder of its own elsewhere,
 * with a name that cannot be guessed, and a link in the data folder leads to it.
 */
async function moveElsewhere({ folder, account, owner, reachableFolders, log }: ElsewhereOptions): Promise<string> {
  const link = join(folder, 'elsewhere');
  const existing = await readlink(link).catch(() => null);
  if (existing !== null) {
    const found = await lstat(existing).catch(() => null);
    if (found?.isDirectory() && [0, account.uid].includes(found.uid)) return realpath(existing);
    log.warn({ folder: existing }, 'the embedded Postgres data is gone; starting with an empty database');
    await rm(link);
  }
  for (const base of [...reachableFolders, tmpdir()]) {
    const made = await mkdtemp(join(base, 'rollcall-postgres-')).catch(() => null);
    if (made === null) continue;
    await openTo(made, owner);
    if (await canEnter(made, account)) {
      await symlink(made, link);
      log.info({ folder: made, link }, 'the embedded Postgres data is kept here, because only root can enter the data folder');
      return realpath(made);
    }
    await rm(made, { recursive: true });
  }
  throw new Error(`the account with id ${account.uid}, which runs Postgres, can enter neither it nor a folder elsewhere`);
}

function refused(folder: string, cause: unknown): BrokerError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BrokerError(
    'unavailable',
    `the embedded Postgres cannot use the data folder ${folder}: ${why}. ` +
      'Run as the user that owns it, choose another one in ROLLCALL_POSTGRES_EMBEDDED_DATA_FOLDER, or name a server of your own in DATABASE_URL.',
    { cause, reason: 'embedded_postgres_folder' },
  );
}
