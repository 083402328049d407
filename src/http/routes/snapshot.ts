import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Request, type Response, Router } from 'express';
import { z } from 'zod';
import { BrokerError } from '../../domain/broker-error.ts';
import { groupsForApp } from '../../domain/webhook-event.ts';
import { digestAlgorithm } from '../../membership/digest.ts';
import type { SnapshotPart, Snapshots, WorkspaceDigest } from '../../membership/snapshot.ts';
import type { SnapshotHead, SnapshotMember } from '../../membership/snapshot-store.ts';
import { parseQuery } from '../request-input.ts';
import type { FindWorkspace } from './workspace-scope.ts';

export interface SnapshotRouteDeps {
  readonly snapshots: Snapshots;
  readonly findWorkspace: FindWorkspace;
}

export const snapshotMediaType = 'application/x-ndjson';
/** Neither takes any parameter. */
const noQuery = z.strictObject({});

/** What an app compares its copy with, and makes it anew from (R40); mounted below a workspace. */
export function createSnapshotRoutes({ snapshots, findWorkspace }: SnapshotRouteDeps): Router {
  const router = Router({ mergeParams: true });

  router.get('/snapshot', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    parseQuery(noQuery, req);
    res.type(snapshotMediaType).setHeader('vary', 'accept-encoding');
    if (req.method === 'HEAD') return void res.end();
    await sendSnapshot(snapshots.read(workspaceId), req, res);
  });

  router.get('/digest', async (req, res) => {
    const { workspaceId } = await findWorkspace(req);
    parseQuery(noQuery, req);
    res.json(digestView(await retryLater(res, snapshots.digest(workspaceId))));
  });

  return router;
}

/** One line of JSON each, as fast as the client takes them. A failure on the way shows as a stream that breaks off. */
async function sendSnapshot({ parts, stalled }: ReturnType<Snapshots['read']>, req: Request, res: Response): Promise<void> {
  // Before the head of the answer is out: what fails here is answered as a problem.
  const first = await retryLater(res, parts.next());
  const zipped = req.acceptsEncodings('gzip', 'identity') === 'gzip';
  if (zipped) res.setHeader('content-encoding', 'gzip');
  const lines = Readable.from(linesOf(first, parts));
  try {
    await (zipped
      ? pipeline(lines, createGzip({ level: 1 }), res, { signal: stalled })
      : pipeline(lines, res, { signal: stalled }));
  } catch (error) {
    if (stalled.aborted) throw stalled.reason;
    // The client went away: nobody is left to tell.
    if (!isOfTheClient(error)) throw error;
  } finally {
    await parts.return();
  }
}

async function* linesOf(
  first: IteratorResult<SnapshotPart, void>,
  parts: AsyncGenerator<SnapshotPart, void>,
): AsyncGenerator<string, void> {
  if (!first.done) yield textOf(first.value);
  for await (const part of parts) yield textOf(part);
}

function textOf(part: SnapshotPart): string {
  switch (part.kind) {
    case 'head':
      return line(headView(part.head));
    case 'members':
      return part.members.map((member) => line(snapshotMemberView(member))).join('');
    case 'end':
      return line(endView(part));
    default:
      return part satisfies never;
  }
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

export function headView({ workspace, cursor, takenAt }: SnapshotHead) {
  return { workspace, cursor, taken_at: takenAt.toISOString(), format: 1 as const };
}

export function snapshotMemberView({ userId, email, name, userStatus, role, groups, status, version }: SnapshotMember) {
  return { user: { id: userId, email, name, status: userStatus }, role, groups: groupsForApp(groups), status, version };
}

export function endView({ members, count, digest }: Extract<SnapshotPart, { kind: 'end' }>) {
  return { end: true as const, members, count, algorithm: digestAlgorithm, digest };
}

export function digestView({ workspace, cursor, takenAt, count, digest }: WorkspaceDigest) {
  return { workspace, cursor, taken_at: takenAt.toISOString(), count, algorithm: digestAlgorithm, digest };
}

/** RFC 9110 10.2.3. */
async function retryLater<Value>(res: Response, reading: Promise<Value>): Promise<Value> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'rate_limited') res.setHeader('retry-after', '5');
    throw error;
  }
}

/** On the way, or before the first line. */
const codesOfLeaving: readonly unknown[] = ['ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_UNABLE_TO_PIPE'];

function isOfTheClient(error: unknown): boolean {
  return error instanceof Error && codesOfLeaving.includes((error as NodeJS.ErrnoException).code);
}
