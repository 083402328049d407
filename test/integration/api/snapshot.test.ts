import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import request from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readSnapshot, SnapshotCut } from '../../../src/demo/app-snapshot.ts';
import { snapshotLineSchemas } from '../../../src/http/routes/snapshot-operations.ts';
import { createSnapshots, type Snapshots } from '../../../src/membership/snapshot.ts';
import { apiOn, bootstrapApiKey } from '../../support/api-stores.ts';
import { useApi } from '../../support/api-world.ts';
import { addMembers, digestOfTables } from '../../support/crowd.ts';
import { aServer, type TestServer } from '../../support/http-server.ts';
import { processOf, untilBlocked } from '../../support/lock-waits.ts';

const api = useApi();
let listening: TestServer | undefined;
beforeEach(() => {
  listening = undefined;
});
afterEach(() => listening?.close());

const path = (what: string, workspaceId = api.acme) => `/v1/workspaces/${workspaceId}/${what}`;
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

async function fill(members: number, nameCharacters = 0): Promise<void> {
  const groups = [{ name: 'engineers' }, { name: 'designers' }];
  const { body } = await api.put(path('app-groups'), { groups });
  const groupIds = body.data.map(({ group_id }: { group_id: string }) => group_id);
  await addMembers(api.database.db, api.acme, { members, groupIds, nameCharacters });
}

/** A server that listens, with snapshots of its own. @returns how to ask it */
async function listen(options: Partial<Parameters<typeof createSnapshots>[0]> = {}) {
  const { db } = api.database;
  const snapshots: Snapshots = createSnapshots({ db, maxSimultaneous: 1, stallSeconds: 30, maxSeconds: 60, ...options });
  const server = aServer({ api: { ...apiOn(db), snapshots } });
  listening = server;
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const headers = { authorization: `Bearer ${bootstrapApiKey}` };
  return {
    server,
    async ask(what: string, signal?: AbortSignal): Promise<IncomingMessage> {
      const request = httpGet({ host: '127.0.0.1', port, path: path(what), headers, agent: false, ...(signal && { signal }) });
      request.on('error', () => {});
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.on('error', () => {});
      return response;
    },
  };
}

/** Snapshots that cannot be read. */
const closed = {
  read: (): never => {
    throw new Error('nothing is to be read');
  },
};

async function openTransactions(): Promise<number> {
  const { rows } = await api.database.db.raw(
    `SELECT count(*)::int AS open FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`,
  );
  return rows[0].open;
}

describe('R40 GET /v1/workspaces/{id}/snapshot', () => {
  it('equals the list of members, line by line as described, with count, digest and cursor', async () => {
    await fill(120);
    const answer = await api.get(path('snapshot'));
    expect([answer.status, answer.headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    const [head, ...rest] = linesOf(answer.text);
    const [end, members] = [rest.at(-1), rest.slice(0, -1)];
    snapshotLineSchemas.head.parse(head);
    snapshotLineSchemas.end.parse(end);
    for (const member of members) snapshotLineSchemas.member.parse(member);

    const listed = (await api.get(`${path('members')}?limit=200`)).body.data;
    expect(members).toEqual(listed.map(({ updated_at: _at, ...member }: { updated_at: string }) => member));
    expect(head).toMatchObject({ workspace: { id: api.acme, slug: 'acme' }, cursor: '0', format: 1 });
    const expected = await digestOfTables(api.database.db, api.acme);
    expect(end).toEqual({ end: true, members: 120, algorithm: 'sha256-sum-1', ...expected });
    const { body: digest } = await api.get(path('digest'));
    expect(digest).toMatchObject({ workspace: { slug: 'acme' }, cursor: '0', algorithm: 'sha256-sum-1', ...expected });
  });

  it('is compressed for those who say so', async () => {
    await fill(30);
    const plain = await api.get(path('snapshot')).set('accept-encoding', 'identity');
    expect(plain.headers['content-encoding']).toBeUndefined();
    const zipped = await api
      .get(path('snapshot'))
      .set('accept-encoding', 'gzip')
      .buffer(true)
      .parse((res, done) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('end', () => done(null, Buffer.concat(chunks)));
      });
    expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip', vary: expect.stringContaining('accept-encoding') });
    const body: Buffer = zipped.body;
    const unzipped = body[0] === 0x1f ? gunzipSync(body).toString('utf8') : body.toString('utf8');
    expect(linesOf(unzipped).slice(1)).toEqual(linesOf(plain.text).slice(1));
  });

  it('answers HEAD without reading anything', async () => {
    api.serve(aServer({ api: { ...apiOn(api.database.db), snapshots: { ...closed, digest: closed.read } } }));
    const { status, headers } = await request(api.server.app)
      .head(path('snapshot'))
      .set('Authorization', `Bearer ${bootstrapApiKey}`);
    expect([status, headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    expect((await api.get(path('snapshot'))).status).toBe(500);
  });

  it.each(['snapshot', 'digest'])(
    'R13 %s: a key of another workspace finds nothing, its own key and one that reads only do',
    async (what) => {
      expect(await api.get(path(what), api.keys.globex)).toMatchObject({ status: 404, body: { code: 'not_found' } });
      expect((await api.get(path(what), api.keys.acme)).status).toBe(200);
      expect((await api.get(path(what), api.keys.readOnly)).status).toBe(200);
      expect((await api.get(path(what), 'no key at all')).status).toBe(401);
      expect((await api.get(path(what, '018f0000-0000-7000-8000-00000000dead'))).status).toBe(404);
      expect(await api.get(`${path(what)}?since=1`)).toMatchObject({ status: 422, body: { errors: [{ path: 'since' }] } });
    },
  );

  it('R13 shows members of its workspace only', async () => {
    await fill(12);
    await addMembers(api.database.db, api.globex, { members: 7 });
    expect(linesOf((await api.get(path('snapshot'))).text)).toHaveLength(14);
    expect(linesOf((await api.get(path('snapshot', api.globex))).text)).toHaveLength(9);
  });
});

describe('R40 readers of snapshots over HTTP', () => {
  // More than the buffers of two sockets hold.
  beforeEach(() => fill(4_000, 4_000));

  it('get 429 and when to come again while all places are taken, and the next place that is free', async () => {
    const { ask } = await listen();
    const first = await ask('snapshot');
    const refused = await ask('digest');
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([429, '5']);
    expect(JSON.parse(await readText(refused))).toMatchObject({ code: 'rate_limited', reason: 'snapshots_busy' });
    expect(linesOf(await readText(first))).toHaveLength(4_002);
    expect((await ask('digest')).statusCode).toBe(200);
  });

  it('that go away free their place and connection at once', async () => {
    const { ask, server } = await listen();
    const response = await ask('snapshot');
    await once(response, 'data');
    response.destroy();
    await vi.waitFor(async () => expect((await ask('digest')).statusCode).toBe(200), 5_000);
    expect(await openTransactions()).toBe(0);
    expect(server.lines.filter(({ level }) => (level as unknown) === 50 || level === 'error')).toEqual([]);
  });

  it('that go away before the first line free their place, which is no failure of ours', async () => {
    const { db } = api.database;
    const { ask, server } = await listen();
    const blocker = await db.transaction();
    await blocker.raw('LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE');
    const left = new AbortController();
    const gone = ask('snapshot', left.signal).catch(() => 'gone');
    await untilBlocked(db, await processOf(blocker));
    left.abort();
    expect(await gone).toBe('gone');
    await blocker.rollback();
    await vi.waitFor(async () => expect((await ask('digest')).statusCode).toBe(200), 5_000);
    expect(await openTransactions()).toBe(0);
    expect(server.lines.filter(({ level }) => (level as unknown) === 50 || level === 'error')).toEqual([]);
  });

  it('that stop reading are cut off, and one that reads slowly is not', async () => {
    const { ask } = await listen({ stallSeconds: 1 });
    const stalled = await ask('snapshot');
    // The socket fills, and nobody empties it.
    stalled.pause();
    await sleep(500);
    expect(await openTransactions()).toBe(1);
    await vi.waitFor(async () => expect(await openTransactions()).toBe(0), 5_000);
    await expect(readSnapshot(stalled, () => {})).rejects.toThrow();

    const slow = await ask('snapshot');
    let members = 0;
    const { cursor } = await readSnapshot(slowly(slow), () => {
      members += 1;
    });
    expect([members, cursor]).toEqual([4_000, '0']);
  });

  it('see that a snapshot is cut when Postgres goes away on the way', async () => {
    const { ask } = await listen();
    const response = await ask('snapshot');
    response.pause();
    await vi.waitFor(async () => {
      const { rows } = await api.database.db.raw(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`,
      );
      expect(rows).toHaveLength(1);
    }, 5_000);
    const outcome = await readSnapshot(response, () => {}).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(Error);
    expect(outcome instanceof SnapshotCut || (outcome as NodeJS.ErrnoException).code === 'ECONNRESET').toBe(true);
    const again = await ask('snapshot');
    expect((await readSnapshot(again, () => {})).cursor).toBe('0');
  });
});

async function* slowly(response: IncomingMessage): AsyncGenerator<Buffer, void> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > 1_000_000) {
      bytes = 0;
      await sleep(120);
    }
    yield chunk as Buffer;
  }
}
