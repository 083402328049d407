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
 * Positions are given out before their transactions commit, so a reader that went by position alone could pass one that is still
 * open. The cursor is therefore the pair (transaction id, position), and a page ends before the oldest transaction still open
 * (`pg_snapshot_xmin`): whatever commits later has a greater transaction id than everything handed out.
 *
 * The events of one member stand in the order of their versions as long as whoever changes it takes its lock before the first
 * write, which is when a transaction gets its id; the data's `version` tells which is newer in any case.
 * @throws BrokerError `validation_failed` for a cursor that no page returned
 */
export async function readEvents(db: Database, filter: EventFilter): Promise<EventPage> {
  const after = filter.after === null ? { transactionId: '0', position: '0' } : parseCursor(filter.after);
  const { rows } = await db.raw<{ rows: EventRow[] }>(readEventsSql, {
    ...after,
    wantedTypes: filter.types ?? null,
    wantedWorkspace: filter.workspaceId ?? null,
    rowLimit: filter.limit,
  });
  const last = rows.at(-1);
  return { events: rows.map(toStoredEvent), cursor: last ? `${last.transaction_id}-${last.position}` : filter.after };
}

/** Walks the index events_by_transaction. */
const readEventsSql = `
  SELECT transaction_id::text, position, event_id, type, workspace_id, user_id, occurred_at, payload::text AS body
  FROM events
  WHERE (transaction_id, position) > (:transactionId::xid8, :position::bigint)
    AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    AND (:wantedTypes::text[] IS NULL OR type = ANY (:wantedTypes::text[]))
    AND (:wantedWorkspace::uuid IS NULL OR workspace_id = :wantedWorkspace::uuid)
  ORDER BY events.transaction_id, events.position
  LIMIT :rowLimit`;

interface EventRow {
  readonly transaction_id: string;
  readonly position: number;
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

function parseCursor(cursor: string): { transactionId: string; position: string } {
  // At most 18 digits: anything longer would overflow the types of the database and fail there.
  const match = /^(\d{1,18})-(\d{1,18})$/.exec(cursor);
  if (!match) {
    throw new BrokerError('validation_failed', 'the cursor is not one that a page of events returned', {
      reason: 'cursor_malformed',
      fields: [{ path: 'after', message: 'give the cursor of an earlier page as it was, or leave it out' }],
    });
  }
  return { transactionId: match[1] as string, position: match[2] as string };
}
