import { BrokerError } from '../domain/broker-error.ts';
import type { Database } from '../infra/postgres.ts';
import { webhookId } from './append.ts';

export interface StoredEvent {
  readonly eventId: string;
  /** As in the header of its deliveries. */
  readonly webhookId: string;
  readonly type: string;
  readonly workspaceId: string | null;
  readonly userId: string | null;
  readonly occurredAt: Date;
  /** The envelope as sent. */
  readonly body: string;
}

export interface EventPage {
  readonly events: readonly StoredEvent[];
  /** Pass it as `after` of the next read; equal to `after` when nothing was there. */
  readonly cursor: string | null;
}

export interface EventFilter {
  /** Cursor of the page before; null: from the first event. */
  readonly after: string | null;
  readonly limit: number;
  readonly types?: readonly string[];
  readonly workspaceId?: string;
}

/**
 * Reads the event log from a cursor on, without ever skipping an event whose transaction commits late (R40).
 *
 * The cursor is the `sequence` that fan-out gives, one pass at a time and never two at once: sequences become visible in their order,
 * so nothing can appear below one that was handed out, and no open transaction holds readers up. The events of one member stand in
 * the order of their versions.
 * @throws BrokerError `validation_failed` for a cursor that no page returned
 */
export async function readEvents(db: Database, filter: EventFilter): Promise<EventPage> {
  const { rows } = await db.raw<{ rows: EventRow[] }>(readEventsSql, {
    after: filter.after === null ? '0' : parseCursor(filter.after),
    wantedTypes: filter.types ?? null,
    wantedWorkspace: filter.workspaceId ?? null,
    rowLimit: filter.limit,
  });
  const last = rows.at(-1);
  return { events: rows.map(toStoredEvent), cursor: last ? String(last.sequence) : filter.after };
}

/** Walks the primary key of event_log, or event_log_by_workspace. */
const readEventsSql = `
  SELECT page.sequence, page.event_id, page.type, page.workspace_id, page.user_id, occurred_at, payload::text AS body
  FROM (
    SELECT * FROM event_log
    WHERE sequence > :after::bigint
      AND (:wantedTypes::text[] IS NULL OR type = ANY (:wantedTypes::text[]))
      AND (:wantedWorkspace::uuid IS NULL OR workspace_id = :wantedWorkspace::uuid)
    ORDER BY sequence LIMIT :rowLimit
  ) AS page
  JOIN events ON events.recorded_on = page.recorded_on AND events.position = page.position
  ORDER BY page.sequence`;

interface EventRow {
  readonly sequence: number;
  readonly event_id: string;
  readonly type: string;
  readonly workspace_id: string | null;
  readonly user_id: string | null;
  readonly occurred_at: Date;
  readonly body: string;
}

function toStoredEvent(row: EventRow): StoredEvent {
  return {
    eventId: row.event_id,
    webhookId: webhookId(row.event_id),
    type: row.type,
    workspaceId: row.workspace_id,
    userId: row.user_id,
    occurredAt: row.occurred_at,
    body: row.body,
  };
}

function parseCursor(cursor: string): string {
  // At most 18 digits: anything longer would overflow the type of the database and fail there.
  if (/^\d{1,18}$/.test(cursor)) return cursor;
  throw new BrokerError('validation_failed', 'the cursor is not one that a page of events returned', {
    reason: 'cursor_malformed',
    fields: [{ path: 'after', message: 'give the cursor of an earlier page as it was, or leave it out' }],
  });
}
