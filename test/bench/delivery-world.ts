import { type ChildProcess, fork, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { WebhookEvent } from '../../src/domain/webhook-event.ts';
import { createLog } from '../../src/infra/log.ts';
import { migrate } from '../../src/infra/migrate.ts';
import { createDatabase, type Database } from '../../src/infra/postgres.ts';
import { migrationsFolder } from '../../src/main.ts';
import { appendEvents } from '../../src/outbox/append.ts';
import { freePort } from '../support/servers.ts';
import { membershipEvent } from '../support/webhook-events.ts';
import { monotonicMilliseconds, type ReceiverOrder, type ReceiverReport } from './delivery-receiver.ts';
import { serverEnvironment, startFlags } from './login-world.ts';
import { figuresOf, type ProcessFigures } from './process-figures.ts';

export type Complete = Extract<ReceiverReport, { kind: 'complete' }>;

export interface DeliveryBenchWorld {
  readonly db: Database;
  readonly worker: ProcessFigures;
  /** Adds endpoints of one workspace of their own; returns the workspace and the paths' number. */
  addEndpoints(count: number, path: string): Promise<Target>;
  /** Points an endpoint elsewhere. */
  moveEndpoint(endpointId: string, url: string): Promise<void>;
  readonly receiverOrigin: string;
  /** Appends the next changes of the target's members in one transaction; returns the moment after its COMMIT. */
  append(target: Target, events: number): Promise<{ committedMilliseconds: number; ids: string[] }>;
  /** Resolves when the receiver knows what to expect, with a function that waits until everything has come. */
  expect(order: Omit<ReceiverOrder, 'kind'>): Promise<() => Promise<Complete>>;
  stop(): Promise<void>;
}

export interface Target {
  readonly workspaceId: string;
  readonly endpointIds: readonly string[];
  readonly members: { readonly userId: string; version: number }[];
  next: number;
}

const memberCount = 1_000;
const appendedAtOnce = 1_000;

/** One Rollcall process that delivers, on a core of its own if one is named; the receiver is another process. */
export async function createDeliveryBenchWorld(options: {
  readonly databaseUrl: string;
  readonly workerCore: string | null;
}): Promise<DeliveryBenchWorld> {
  const db = createDatabase({ url: options.databaseUrl, poolSize: 3, statementTimeoutSeconds: 600 });
  await migrate(db, { folder: migrationsFolder, log: createLog({ level: 'warn' }) });
  const port = await freePort();
  const publicUrl = `http://localhost:${port}`;
  const apiKey = randomBytes(32).toString('base64url');
  const env = {
    ...serverEnvironment({ ...options, redisUrl: null, port, publicUrl }),
    ROLLCALL_BOOTSTRAP_API_KEY: apiKey,
  };
  const receiver = fork(fileURLToPath(new URL('./delivery-receiver.ts', import.meta.url)));
  const [{ port: receiverPort }] = (await once(receiver, 'message')) as [{ port: number }];
  const receiverOrigin = `http://127.0.0.1:${receiverPort}`;
  const server = await startServer(env, publicUrl, options.workerCore);

  async function callApi(method: string, path: string, body: object): Promise<{ endpoint_id: string }> {
    const answer = await fetch(`${publicUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { endpoint_id: string };
  }

  return {
    db,
    worker: figuresOf(server.pid as number),
    receiverOrigin,

    async addEndpoints(count, path) {
      const workspaceId = randomUUID();
      const endpointIds: string[] = [];
      for (let number = 0; number < count; number += 1) {
        const url = `${receiverOrigin}${path}${count === 1 ? '' : `/${number}`}`;
        const { endpoint_id } = await callApi('POST', '/v1/endpoints', { url, workspace_ids: [workspaceId] });
        endpointIds.push(endpoint_id);
      }
      const members = Array.from({ length: memberCount }, () => ({ userId: randomUUID(), version: 0 }));
      return { workspaceId, endpointIds, members, next: 0 };
    },

    async moveEndpoint(endpointId, url) {
      await callApi('PATCH', `/v1/endpoints/${endpointId}`, { url });
    },

    async append(target, count) {
      const ids: string[] = [];
      await db.transaction(async (tx) => {
        for (let left = count; left > 0; left -= appendedAtOnce) {
          const events = nextChanges(target, Math.min(left, appendedAtOnce));
          ids.push(...(await appendEvents(tx, events, { now: new Date() })));
        }
      });
      return { committedMilliseconds: monotonicMilliseconds(), ids: ids.map((id) => `evt_${id.replaceAll('-', '')}`) };
    },

    async expect(order) {
      const complete = reportOf(receiver, 'complete');
      const expecting = reportOf(receiver, 'expecting');
      receiver.send({ kind: 'expect', ...order } satisfies ReceiverOrder);
      await expecting;
      return () => complete as Promise<Complete>;
    },

    async stop() {
      server.kill('SIGTERM');
      await once(server, 'exit');
      receiver.disconnect();
      await db.destroy();
    },
  };
}

/** Members in turns, each with its next version. */
function nextChanges(target: Target, count: number): WebhookEvent[] {
  return Array.from({ length: count }, () => {
    const member = target.members[target.next++ % target.members.length] as { userId: string; version: number };
    member.version += 1;
    return membershipEvent({ ...member, workspaceId: target.workspaceId });
  });
}

function reportOf(receiver: ChildProcess, kind: ReceiverReport['kind']): Promise<ReceiverReport> {
  return new Promise((resolve) => {
    const hear = (report: ReceiverReport) => {
      if (report.kind !== kind) return;
      receiver.off('message', hear);
      resolve(report);
    };
    receiver.on('message', hear);
  });
}

async function startServer(env: NodeJS.ProcessEnv, publicUrl: string, core: string | null): Promise<ChildProcess> {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const command = [process.execPath, ...startFlags(), main];
  const [program, ...flags] = core === null ? command : ['taskset', '-c', core, ...command];
  const server = spawn(program as string, flags, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  server.stdout?.resume();
  for (let tries = 0; tries < 400; tries++) {
    const answer = await fetch(`${publicUrl}/readyz`).catch(() => null);
    if (answer?.ok) return server;
    if (server.exitCode !== null) break;
    await sleep(50);
  }
  server.kill();
  throw new Error('the server did not get ready');
}
