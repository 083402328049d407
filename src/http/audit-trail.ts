import type { Request, RequestHandler } from 'express';
import { BrokerError } from '../domain/broker-error.ts';
import type { Log } from '../infra/log.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import { requestIdOf } from './access-log.ts';
import { holderOf } from './admin-auth.ts';
import { createOperationFinder, type DeclaredOperation, type MatchedOperation, parametersOf } from './api-schema.ts';
import type { AuditResult, AuditStore, AuditSubject } from './audit-store.ts';
import { type Answer, beforeAnswer } from './before-answer.ts';

/** What a resource shows now, by the parameters of its path; null: there is nothing. */
export type StateReader = (params: Readonly<Record<string, string>>) => Promise<unknown>;

/**
 * Writes the audit log of the API. An entry is opened before the change and closed with the states before and after it, which are read
 * beside the change, not in its transaction: a change by somebody else in the same moment may show in them.
 * @param deps `states`: readers by path of a resource (`/connections/{connection_id}`) or of a collection that changes as one
 */
export function createAuditTrail(deps: {
  readonly audit: Pick<AuditStore, 'open' | 'close'>;
  readonly operations: readonly DeclaredOperation[];
  readonly states: Readonly<Record<string, StateReader>>;
  readonly log: Log;
}): RequestHandler {
  const { audit, operations, states, log } = deps;
  const find = createOperationFinder(operations);

  return async (req, res, next) => {
    const matched = req.method === 'GET' || req.method === 'HEAD' ? null : find(req.method, req.path);
    if (matched === null || matched.operation.changes === false) return next();
    const target = targetOf(matched, operations);
    const read = states[target.path];
    const before = read ? await stateOf(read, matched) : null;
    const entryId = await audit.open(subjectOf(req, matched, target));
    beforeAnswer(res, async (answer) => {
      try {
        await audit.close(entryId, await resultOf({ req, answer, target, before, read, matched }));
      } catch (error) {
        log.error({ err: error, requestId: requestIdOf(req), entryId }, 'an entry of the audit log was not closed');
      }
    });
    next();
  };

  async function resultOf(change: {
    readonly req: Request;
    readonly answer: Answer;
    readonly target: Target;
    readonly before: unknown;
    readonly read: StateReader | undefined;
    readonly matched: MatchedOperation;
  }): Promise<AuditResult> {
    const { req, answer, target, before, read, matched } = change;
    const { status } = answer;
    // The states are kept with success only: a key that was refused learns nothing from its own entry.
    if (status >= 400) return { outcome: status < 500 ? 'refused' : 'failed', status, code: codeOf(answer) };
    const madeId = status === 201 ? (answer.header('location')?.split('/').at(-1) ?? null) : null;
    const after = read ? await stateOf(read, matched) : jsonOf(answer);
    return {
      outcome: 'done',
      status,
      resourceId: madeId,
      workspaceId: holderOf(req).workspaceId === null ? workspaceOf(target, after ?? before) : null,
      ...differenceOf(before, after),
    };
  }
}

interface Target {
  /** Path of the resource or collection: without the action at its end. */
  readonly path: string;
  readonly resource: string;
  readonly id: string | null;
}

/** `/users/{user_id}/archive` acts on `/users/{user_id}`; `/workspaces/{workspace_id}/app-groups` is a collection. */
function targetOf({ operation, params }: MatchedOperation, operations: readonly DeclaredOperation[]): Target {
  let { path } = operation as { path: string };
  const isKnown = (known: string) =>
    operations.some((other) => other.path.startsWith(`${known}/{`) || (other.method === 'get' && other.path === known));
  while (!path.endsWith('}') && !isKnown(path) && path.lastIndexOf('/') > 0) path = path.slice(0, path.lastIndexOf('/'));
  const segments = path.split('/').slice(1);
  const last = segments.at(-1) ?? '';
  const single = last.startsWith('{');
  return {
    path,
    resource: (single ? segments.at(-2) : last) ?? '',
    id: single ? (params[last.slice(1, -1)] ?? null) : null,
  };
}

function subjectOf(req: Request, { operation, params }: MatchedOperation, { resource, id }: Target): AuditSubject {
  const { keyId, workspaceId } = holderOf(req);
  return {
    actor: { kind: 'api_key', id: keyId },
    action: `${req.method} ${operation.path}`,
    resource,
    resourceId: id === null ? null : storable(id),
    // What a workspace's key tries is its own workspace's affair, whatever it names.
    workspaceId: workspaceId ?? (ownedByWorkspace(operation.path) ? asId(params.workspace_id) : null),
    requestId: requestIdOf(req),
  };
}

/** Postgres takes no NUL, and an id that names nothing is as long as its sender likes. */
function storable(id: string): string {
  return id
    .replace(/\p{Cc}/gu, encodeURIComponent)
    .slice(0, 200)
    .toWellFormed();
}

function ownedByWorkspace(path: string): boolean {
  return path.startsWith('/workspaces/{workspace_id}');
}

/** The workspace that a view names as its own. Instance-level connections tell about several, and so belong to none. */
function workspaceOf({ path, resource }: Target, view: unknown): string | null {
  if (typeof view !== 'object' || view === null) return null;
  const { workspace, workspace_id: workspaceId, scope } = view as Record<string, unknown>;
  if (resource === 'connections') return asId(workspace);
  if (resource === 'api-keys') return typeof scope === 'string' ? asId(scope.replace('workspace:', '')) : null;
  if (resource === 'workspaces' && !parametersOf(path).includes('connection_id')) return asId(workspaceId);
  return null;
}

function asId(value: unknown): string | null {
  return typeof value === 'string' && isUniqueId(value) ? value : null;
}

/** Ids in a path are anything at this point. */
async function stateOf(read: StateReader, { operation, params }: MatchedOperation): Promise<unknown> {
  const isNone = ([name, value]: [string, string]) =>
    operation.params?.[name] === undefined ? !isUniqueId(value) : /\p{Cc}/u.test(value);
  if (Object.entries(params).some(isNone)) return null;
  try {
    return (await read(params)) ?? null;
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'not_found') return null;
    throw error;
  }
}

/** Of a collection only what moved: a catalogue may have 10,000 groups. */
function differenceOf(before: unknown, after: unknown): { before: unknown; after: unknown } {
  if (!(before instanceof Map) || !(after instanceof Map)) return { before, after };
  const moved = [...new Set([...before.keys(), ...after.keys()])].filter(
    (key) => JSON.stringify(before.get(key)) !== JSON.stringify(after.get(key)),
  );
  const pick = (from: ReadonlyMap<unknown, unknown>) => moved.flatMap((key) => (from.has(key) ? [from.get(key)] : []));
  return { before: pick(before), after: pick(after) };
}

function jsonOf({ body }: Answer): unknown {
  try {
    return body === null || body === '' ? null : JSON.parse(body);
  } catch {
    return null;
  }
}

function codeOf(answer: Answer): string | null {
  const problem = jsonOf(answer) as { code?: unknown } | null;
  return typeof problem?.code === 'string' ? problem.code : null;
}
