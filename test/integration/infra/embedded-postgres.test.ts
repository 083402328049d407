import { spawn } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import {
  alive,
  answers,
  ask,
  children,
  ended,
  freshFolder,
  isRoot,
  serverPid,
  start,
  startElsewhere,
  usedFolder,
} from '../../support/embedded-postgres-world.ts';

describe('a data folder', () => {
  test('keeps its data over a restart, and its password to itself', async () => {
    const folder = freshFolder();
    const first = await start(folder);
    await ask(first.url, 'CREATE TABLE notes AS SELECT 7 AS n');
    expect(statSync(join(folder, 'cluster', 'rollcall-password')).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'cluster')).mode & 0o077).toBe(0);
    await first.stop();
    expect(await answers(first.url)).toBe(false);
    const second = await start(folder);
    expect(await ask(second.url, 'SELECT n FROM notes')).toEqual([{ n: 7 }]);
    expect(new URL(second.url).password).toBe(new URL(first.url).password);
  });

  test('is served on loopback only, by password only, without a socket', async () => {
    const { url } = await start(usedFolder());
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(ask(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    expect(
      await ask(
        url,
        "SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'unix_socket_directories', 'password_encryption') ORDER BY 1",
      ),
    ).toEqual([
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'password_encryption', setting: 'scram-sha-256' },
      { name: 'unix_socket_directories', setting: '' },
    ]);
    expect(await ask(url, 'SELECT DISTINCT auth_method FROM pg_hba_file_rules')).toEqual([{ auth_method: 'scram-sha-256' }]);
  });

  test('sorts and folds by Unicode, alike on every machine', async () => {
    const { url } = await start(usedFolder());
    expect(
      await ask(
        url,
        "SELECT lower('ÄÖÜ Σ') AS l, 'Z' < 'a' AS by_code_point, pg_encoding_to_char(encoding) AS e FROM pg_database WHERE datname = current_database()",
      ),
    ).toEqual([{ l: 'äöü σ', by_code_point: true, e: 'UTF8' }]);
  });

  test('written by another major version is refused with what to do, and accepted again when it fits', async () => {
    const folder = usedFolder();
    const first = await start(folder);
    const version = readFileSync(join(folder, 'cluster', 'PG_VERSION'), 'utf8');
    await first.stop();
    writeFileSync(join(folder, 'cluster', 'PG_VERSION'), '15\n');
    await expect(start(folder)).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'embedded_postgres_version',
      message: expect.stringMatching(/15.*18.*delete the folder.*DATABASE_URL/),
    });
    writeFileSync(join(folder, 'cluster', 'PG_VERSION'), version);
    expect(await answers((await start(folder)).url)).toBe(true);
  });

  test('left half-made by a start that was killed does not matter', async () => {
    const folder = freshFolder();
    mkdirSync(join(folder, 'new-cluster-000000000000'), { recursive: true });
    writeFileSync(join(folder, 'new-cluster-000000000000', 'PG_VERSION'), '18\n');
    expect(await answers((await start(folder)).url)).toBe(true);
  });

  test('whose path is longer than a socket address may be works', async () => {
    const folder = join(freshFolder(), 'x'.repeat(120), "with 'quotes' and spaces");
    expect(await answers((await start(folder)).url)).toBe(true);
  });
});

describe('a server that runs already', () => {
  test('is used by a second start, and ends with the first', async () => {
    const folder = usedFolder();
    const owner = await start(folder);
    const guest = await start(folder);
    expect(guest.url).toBe(owner.url);
    await guest.stop();
    expect(await answers(owner.url)).toBe(true);
    await owner.stop();
    expect(await answers(owner.url)).toBe(false);
  });

  test('is one, however many start at once on a new folder', async () => {
    const folder = freshFolder();
    const [elsewhere, ...here] = await Promise.all([
      startElsewhere({ dataFolder: folder }),
      start(folder),
      start(folder),
      start(folder),
    ]);
    expect(new Set([elsewhere.answer.url, ...here.map(({ url }) => url)]).size).toBe(1);
    expect(await answers(elsewhere.answer.url)).toBe(true);
  });

  test('goes on when its owner is killed, is taken over with its data, and ends with the new owner', async () => {
    const folder = usedFolder();
    const { child, answer } = await startElsewhere({ dataFolder: folder });
    await ask(answer.url, 'CREATE TABLE notes AS SELECT 7 AS n');
    const pid = serverPid(folder);
    child.kill('SIGKILL');
    await ended(child);
    expect(await answers(answer.url)).toBe(true);
    const adopted = await start(folder);
    expect(serverPid(folder)).toBe(pid);
    expect(await ask(adopted.url, 'SELECT n FROM notes')).toEqual([{ n: 7 }]);
    await adopted.stop();
    expect(alive(pid)).toBe(false);
  });

  test('is left alone by a start beside a living owner in another process', async () => {
    const folder = usedFolder();
    const { answer } = await startElsewhere({ dataFolder: folder });
    const guest = await start(folder);
    await guest.stop();
    expect(await answers(answer.url)).toBe(true);
  });

  test('ends when a stop finds open transactions', async () => {
    const server = await start(usedFolder());
    const client = new pg.Client(server.url);
    client.on('error', () => {});
    await client.connect();
    await client.query('BEGIN');
    await server.stop();
    expect(await answers(server.url)).toBe(false);
  });
});

describe('a pid file left behind', () => {
  test('by a server that was killed is passed over, and what was committed is there', async () => {
    const folder = usedFolder();
    const first = await start(folder, { durable: true });
    await ask(first.url, 'CREATE TABLE notes AS SELECT 7 AS n');
    process.kill(serverPid(folder), 'SIGKILL');
    const second = await start(folder);
    expect(await ask(second.url, 'SELECT n FROM notes')).toEqual([{ n: 7 }]);
  });

  test('whose id another program has by now is passed over, and the program lives', async () => {
    const folder = usedFolder();
    const first = await start(folder);
    const pidFile = join(folder, 'cluster', 'postmaster.pid');
    const content = readFileSync(pidFile, 'utf8');
    await first.stop();
    // As the account that runs the server: Postgres itself would take it for a server of its own.
    const { uid, gid } = statSync(join(folder, 'cluster'));
    const stranger = spawn('sleep', ['60'], isRoot ? { uid, gid } : {});
    children.push(stranger);
    writeFileSync(pidFile, content.replace(/^\d+/, String(stranger.pid)), { mode: 0o600 });
    chownSync(pidFile, uid, gid);
    const second = await start(folder);
    expect(await answers(second.url)).toBe(true);
    await second.stop();
    expect(alive(stranger.pid ?? 0)).toBe(true);
  });
});
