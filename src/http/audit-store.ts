import type { Database } from '../infra/postgres.ts';
import { createOrderedIds } from '../infra/unique-id.ts';
import { redacted } from './audit-redaction.ts';

export interface AuditActor {
  readonly kind: 'api_key' | 'command_line';
  /** Id of the API key, or the name of the user at the terminal. */
  readonly id: string | null;
}

/** What is known before the change. */
export interface AuditSubject {
  readonly actor: AuditActor;
  /** `PATCH /connections/{connection_id}`, `rollcall apply` */
  readonly action: string;
  /** Plural noun of the API: `connections`. */
  readonly resource: string;
  readonly resourceId: string | null;
  /** Whose entry it is; null: the instance's. */
  readonly workspaceId: string | null;
  readonly requestId: string | null;
}

export type AuditOutcome = 'started' | 'done' | 'refused' | 'failed';

/** What is known after it. */
export interface AuditResult {
  readonly outcome: Exclude<AuditOutcome, 'started'>;
  readonly status?: number | null;
  readonly code?: string | null;
  readonly resourceId?: string | null;
  readonly workspaceId?: string | null;
  readonly before?: unknown;
  readonly after?: unknown;
}

export interface AuditEntry extends AuditSubject {
  readonly entryId: string;
  readonly outcome: AuditOutcome;
  readonly status: number | null;
  readonly code: string | null;
  readonly before: unknown;
  readonly after: unknown;
  readonly at: Date;
}

export interface AuditFilter {
  /** Null: of every workspace and of the instance. */
  readonly workspaceId: string | null;
  readonly resource?: string | undefined;
  readonly resourceId?: string | undefined;
  readonly actorId?: string | undefined;
  readonly outcome?: AuditOutcome | undefined;
  readonly requestId?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  /** Entries older than this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export type AuditStore = ReturnType<typeof createAuditStore>;

/** Who changed what. Entries are opened before a change and closed after it: none goes unrecorded, whenever the process dies. */
export function createAuditStore({ db, now }: { readonly db: Database; readonly now: () => Date }) {
  // Readers go by the id: what one process wrote within a millisecond stays in its order.
  const nextId = createOrderedIds();
  return {
    /** @returns the entry's id */
    async open(subject: AuditSubject): Promise<string> {
      const entryId = nextId(now());
      await db('audit_log').insert({ entry_id: entryId, ...subjectColumns(subject), outcome: 'started', at: now() });
      return entryId;
    },

    async close(entryId: string, result: AuditResult): Promise<void> {
      await db('audit_log').where({ entry_id: entryId, outcome: 'started' }).update(resultColumns(result));
    },

    /**
     * A whole entry at once.
     * @param connection the transaction of the change: both commit, or neither does
     */
    async record(subject: AuditSubject, result: AuditResult, connection: Database = db): Promise<void> {
      const columns = { ...subjectColumns(subject), ...resultColumns(result) };
      await connection('audit_log').insert({ entry_id: nextId(now()), ...columns, at: now() });
    },

    /** Newest first. Indexes: audit_log_pkey, audit_log_by_workspace, audit_log_by_resource. */
    async list(filter: AuditFilter): Promise<readonly AuditEntry[]> {
      const query = db<AuditRow>('audit_log').orderBy('entry_id', 'desc').limit(filter.limit);
      const equal = {
        workspace_id: filter.workspaceId ?? undefined,
        resource: filter.resource,
        resource_id: filter.resourceId,
        actor_id: filter.actorId,
        outcome: filter.outcome,
        request_id: filter.requestId,
      };
      for (const [column, value] of Object.entries(equal)) if (value !== undefined) query.where(column, value);
      if (filter.since !== undefined) query.where('at', '>=', filter.since);
      if (filter.until !== undefined) query.where('at', '<', filter.until);
      if (filter.after !== undefined) query.where('entry_id', '<', filter.after);
      return (await query).map(entryOf);
    },
  };
}

function subjectColumns({ actor, action, resource, resourceId, workspaceId, requestId }: AuditSubject) {
  return {
    actor_kind: actor.kind,
    actor_id: actor.id,
    action,
    resource,
    resource_id: resourceId,
    workspace_id: workspaceId,
    request_id: requestId,
  };
}

/** What the subject said stays unless the result knows better. */
function resultColumns({ outcome, status, code, resourceId, workspaceId, before, after }: AuditResult) {
  return {
    outcome,
    status: status ?? null,
    code: code ?? null,
    before: jsonColumn(before),
    after: jsonColumn(after),
    ...(resourceId != null && { resource_id: resourceId }),
    ...(workspaceId != null && { workspace_id: workspaceId }),
  };
}

function jsonColumn(state: unknown): string | null {
  return state === undefined || state === null ? null : JSON.stringify(redacted(state));
}

interface AuditRow {
  entry_id: string;
  workspace_id: string | null;
  actor_kind: AuditActor['kind'];
  actor_id: string | null;
  action: string;
  resource: string;
  resource_id: string | null;
  outcome: AuditOutcome;
  status: number | null;
  code: string | null;
  before: unknown;
  after: unknown;
  request_id: string | null;
  at: Date;
}

function entryOf(row: AuditRow): AuditEntry {
  return {
    entryId: row.entry_id,
    actor: { kind: row.actor_kind, id: row.actor_id },
    action: row.action,
    resource: row.resource,
    resourceId: row.resource_id,
    workspaceId: row.workspace_id,
    outcome: row.outcome,
    status: row.status,
    code: row.code,
    before: row.before,
    after: row.after,
    requestId: row.request_id,
    at: row.at,
  };
}
