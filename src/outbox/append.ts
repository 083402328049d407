import type { WebhookEvent } from '../domain/webhook-event.ts';
import type { Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';

/** Columns of `insertEventsSql`, one array each where each event has its own value, to be passed as named bindings. */
export type EventRows = Readonly<Record<'eventIds' | 'orderKeys' | 'eventTypes' | 'payloads', string[]>> &
  Readonly<Record<'eventWorkspaceIds' | 'eventUserIds', (string | null)[]>> & {
    readonly occurredAts: Date[];
    readonly onlyEndpointId: string | null;
  };

/**
 * Appends the events of `eventRows`; positions follow the order of the list. A caller that folds it into a statement of its own
 * (`WITH appended AS (…)`) binds the rows by name.
 */
export const insertEventsSql = insertEventsIf('true');

/**
 * The same where `condition` holds, SQL of the caller's. It is asked before the first position is given out: a condition that takes a
 * lock makes positions follow the order of the lock's holders.
 */
export function insertEventsIf(condition: string): string {
  return `
  INSERT INTO events (event_id, workspace_id, user_id, order_key, type, payload, occurred_at, only_endpoint_id)
  SELECT event_id, workspace_id, user_id, order_key, type, payload, occurred_at, :onlyEndpointId::uuid
  FROM unnest(:eventIds::uuid[], :eventWorkspaceIds::uuid[], :eventUserIds::uuid[], :orderKeys::text[], :eventTypes::text[],
              :payloads::json[], :occurredAts::timestamptz[]) WITH ORDINALITY
    AS event (event_id, workspace_id, user_id, order_key, type, payload, occurred_at, ordinal)
  WHERE ${condition}
  ORDER BY ordinal`;
}

/**
 * Appends events to the outbox: they exist if and only if `tx` commits (law 3). Events of one order key keep their order only if
 * `tx` holds a lock that serialises their writers (the member's row) before it appends.
 * @param options.onlyEndpointId for this endpoint alone, and no part of the log; left out: for all that want them
 * @returns the event ids in the order of `events`
 */
export async function appendEvents(
  tx: Transaction,
  events: readonly WebhookEvent[],
  { now, onlyEndpointId = null }: { readonly now: Date; readonly onlyEndpointId?: string | null },
): Promise<string[]> {
  if (events.length === 0) return [];
  const rows = { ...eventRows(events, now), onlyEndpointId };
  await tx.raw(insertEventsSql, rows);
  return rows.eventIds;
}

/** @param now goes into the event ids (UUID version 7) */
export function eventRows(events: readonly WebhookEvent[], now: Date): EventRows {
  return {
    eventIds: events.map(() => uniqueId(now)),
    eventWorkspaceIds: events.map(({ workspaceId }) => workspaceId),
    eventUserIds: events.map(({ userId }) => userId),
    orderKeys: events.map(({ orderKey }) => orderKey),
    eventTypes: events.map(({ type }) => type),
    payloads: events.map(envelopeText),
    occurredAts: events.map(({ occurredAt }) => occurredAt),
    onlyEndpointId: null,
  };
}

/**
 * The body of every attempt to deliver the event, byte for byte: it is written once, here, and the column's type (`json`) keeps
 * the text as it is, so that signatures of later attempts cover the same bytes.
 */
function envelopeText({ type, occurredAt, data }: WebhookEvent): string {
  return JSON.stringify({ type, timestamp: occurredAt.toISOString(), data });
}

/** What receivers tell repeats by (Standard Webhooks, `webhook-id`): `evt_` and 32 hexadecimal digits. */
export function webhookId(eventId: string): string {
  return `evt_${eventId.replaceAll('-', '')}`;
}
