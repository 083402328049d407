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
  /** Pass it as `after` of the next read; null: the log is empty. It passes events that the filter leaves out, too. */
  readonly cursor: string | null;
  /** Whether a read from the cursor on may find events at once; false: the log ended there. */
  readonly more: boolean;
}

export interface EventFilter {
  /** Cursor of the page before; null: from the earliest event that is kept. */
  readonly after: string | null;
  readonly limit: number;
  readonly types?: readonly string[];
  readonly workspaceId?: string;
}

/** The most entries that one read looks at when types are wanted: with rare ones it would walk the log for as long as it is. */
const scannedEntries = 20_000;

/**
 * Reads the event log from a cursor on, without ever skipping an event whose transaction commits late (R40).
 *
 * The cursor is the `sequence` that fan-out gives, one pass at a time and never two at once: sequences become visible in their order,
 * so nothing can appear below one that was handed out, and no open transaction holds readers up. The events of one member stand in
 * the order of their versions.
 *
 * A page that is not full ends where the look at the log ended: a reader whose filter seldom finds anything keeps up with the log all
 * the same, and does not come back with a cursor that retention has passed.
 * @throws BrokerError `validation_failed` for a cursor that no page returned; `cursor_expired` when the log no longer holds what follows it
 */
export async function readEvents(db: Database, filter: EventFilter): Promise<EventPage> {
  const after = filter.after === null ? null : parseCursor(filter.after);
  const { rows } = await db.raw<{ rows: PageRow[] }>(readEventsSql(filter.workspaceId !== undefined), {
    after,
    wantedTypes: filter.types ?? null,
    wantedWorkspace: filter.workspaceId ?? null,
    scanLimit: filter.types === undefined ? filter.limit : Math.max(scannedEntries, filter.limit),
    rowLimit: filter.limit,
  });
  const { earliest, newest, limited, scanned_to: scannedTo } = rows[0] ?? emptyLog;
  if (after !== null && after < earliest) throw expired('retention', earliest);
  if (after !== null && after > newest) throw expired('ahead_of_log', earliest);
  const entries = rows.filter(({ sequence }) => sequence !== null);
  const full = entries.length === filter.limit;
  const cursor = full ? entries.at(-1)?.sequence : limited ? scannedTo : newest;
  return {
    events: entries.filter(isKept).map(toStoredEvent),
    cursor: cursor ? String(cursor) : filter.after,
    more: (full || limited) && cursor !== newest,
  };
}

const emptyLog = { earliest: 0, newest: 0, limited: false, scanned_to: null };

/**
 * One event of the log by its id; null: there is none, or no longer.
 * Index: event_log_by_event.
 */
export async function readEvent(db: Database, eventId: string): Promise<StoredEvent | null> {
  const { rows } = await db.raw<{ rows: EventRow[] }>(
    `SELECT log.event_id, log.type, log.workspace_id, log.user_id, occurred_at, payload::text AS body
     FROM event_log AS log
     JOIN events ON events.recorded_on = log.recorded_on AND events.position = log.position
     WHERE log.event_id = ?`,
    [eventId],
  );
  const row = rows[0];
  return row === undefined ? null : toStoredEvent(row);
}

/**
 * One statement, and so one snapshot: what was looked at and what was found belong together. Walks the primary key of event_log, or
 * event_log_by_workspace.
 *
 * Retention leaves the last entry that it drops in the log, without its event: a cursor before it has missed something (`earliest`).
 */
const readEventsSql = (ofWorkspace: boolean) => `
  WITH horizon AS MATERIALIZED (
    SELECT first.sequence - CASE WHEN event.position IS NULL THEN 0 ELSE 1 END AS earliest,
           (SELECT max(sequence) FROM event_log) AS newest
    FROM (SELECT * FROM event_log ORDER BY sequence LIMIT 1) AS first
    LEFT JOIN events AS event ON event.recorded_on = first.recorded_on AND event.position = first.position
  ), start AS MATERIALIZED (
    SELECT greatest(:after::bigint, earliest) AS sequence, earliest, newest FROM horizon
  ), scanned AS MATERIALIZED (
    SELECT * FROM event_log
    WHERE sequence > (SELECT sequence FROM start) ${ofWorkspace ? 'AND workspace_id = :wantedWorkspace::uuid' : ''}
    ORDER BY sequence LIMIT :scanLimit
  ), page AS MATERIALIZED (
    SELECT * FROM scanned WHERE :wantedTypes::text[] IS NULL OR type = ANY (:wantedTypes::text[])
    ORDER BY sequence LIMIT :rowLimit
  )
  SELECT start.earliest, start.newest, (SELECT count(*) FROM scanned) = :scanLimit AS limited,
         (SELECT max(sequence) FROM scanned) AS scanned_to,
         page.sequence, page.event_id, page.type, page.workspace_id, page.user_id, event.occurred_at, event.payload::text AS body
  FROM start
  LEFT JOIN page ON true
  LEFT JOIN events AS event ON event.recorded_on = page.recorded_on AND event.position = page.position
  ORDER BY page.sequence`;

interface EventRow {
  readonly event_id: string;
  readonly type: string;
  readonly workspace_id: string | null;
  readonly user_id: string | null;
  readonly occurred_at: Date;
  readonly body: string;
}

/** Unless the log is empty there is a row even if nothing was found; its `sequence` is null. */
interface PageRow extends Omit<EventRow, 'body'> {
  readonly earliest: number;
  readonly newest: number;
  /** Whether the look at the log ended because it had looked at enough. */
  readonly limited: boolean;
  readonly scanned_to: number | null;
  readonly sequence: number | null;
  readonly body: string | null;
}

function isKept(row: PageRow): row is PageRow & EventRow {
  return row.body !== null;
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

function parseCursor(cursor: string): number {
  // Sequences stay below 2^53, which has 16 digits.
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw new BrokerError('validation_failed', 'the cursor is not one that a page of events returned', {
    reason: 'cursor_malformed',
    fields: [{ path: 'after', message: 'give the cursor of an earlier page as it was, or leave it out' }],
  });
}

/** `ahead_of_log`: no page of this log returned the cursor; its database is older, restored from a backup. */
function expired(reason: 'retention' | 'ahead_of_log', earliest: number): BrokerError {
  return new BrokerError('cursor_expired', 'the log does not hold what follows this cursor', {
    reason,
    members: { earliest_cursor: String(earliest) },
  });
}
