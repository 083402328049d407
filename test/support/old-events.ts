import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/infra/postgres.ts';
import { eventRows } from '../../src/outbox/append.ts';
import { membershipEvent } from './webhook-events.ts';

/** Appends events of members as if it had been done so many days ago, and returns their ids. */
export async function appendDaysAgo(db: Database, daysAgo: number, count = 1, userId?: string): Promise<string[]> {
  const at = new Date(Date.now() - daysAgo * 24 * 60 * 60 * 1_000);
  const events = Array.from({ length: count }, () => membershipEvent({ at, ...(userId === undefined ? {} : { userId }) }));
  const rows = eventRows(events, at);
  await db.raw(
    `INSERT INTO events (recorded_on, event_id, workspace_id, user_id, order_key, type, payload, occurred_at)
     SELECT (now() AT TIME ZONE 'UTC')::date - :daysAgo::int, event_id, workspace_id, user_id, order_key, type, payload, occurred_at
     FROM unnest(:eventIds::uuid[], :eventWorkspaceIds::uuid[], :eventUserIds::uuid[], :orderKeys::text[], :eventTypes::text[],
                 :payloads::json[], :occurredAts::timestamptz[]) WITH ORDINALITY
       AS event (event_id, workspace_id, user_id, order_key, type, payload, occurred_at, ordinal)
     ORDER BY ordinal`,
    { ...rows, daysAgo },
  );
  return rows.eventIds;
}

/** An endpoint of which only the row matters: nothing is sent to it. */
export async function aQuietEndpoint(db: Database, given: { readonly eventTypes?: readonly string[] } = {}): Promise<string> {
  const endpointId = randomUUID();
  await db('endpoints').insert({
    endpoint_id: endpointId,
    url: `https://example.com/${endpointId}`,
    event_types: given.eventTypes ?? null,
    sealed_secrets: '[]',
    since_position: 0,
    since_snapshot: db.raw("'1:1:'::pg_snapshot"),
  });
  return endpointId;
}
