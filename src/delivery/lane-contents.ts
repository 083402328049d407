import type { Transaction } from '../infra/postgres.ts';

export interface WaitingDelivery {
  readonly position: number;
  readonly eventId: string;
  /** Made so far. */
  readonly attempts: number;
  /** Null: the event is not there any more. */
  readonly body: string | null;
}

export interface LaneToRead {
  readonly endpointId: string;
  readonly orderKey: string;
  /** Only its first delivery may go. */
  readonly single: boolean;
}

export interface LaneContent {
  /** The first that wait, in order. */
  readonly deliveries: readonly WaitingDelivery[];
  /** Whether these are all that wait. */
  readonly complete: boolean;
}

export interface LaneReadLimits {
  readonly deliveriesPerLane: number;
  /** Of all bodies together; the first delivery of all comes whatever its length. */
  readonly bodyBytes: number;
}

/**
 * Reads the first deliveries of lanes that `tx` has just locked: whatever comes later changes their revision. The narrow rows come
 * first and say in which partitions the bodies lie.
 * @returns one content for each lane; null: there was no room for its text, and the lane was given back
 */
export async function readLanes(
  tx: Transaction,
  lanes: readonly LaneToRead[],
  { deliveriesPerLane, bodyBytes }: LaneReadLimits,
): Promise<(LaneContent | null)[]> {
  const { rows } = await tx.raw<{ rows: DeliveryRow[] }>(readWaitingSql, { ...keysOf(lanes), deliveriesPerLane });
  const waiting = Map.groupBy(rows, (row) => row.lane - 1);
  const wanted = [...waiting].flatMap(([index, deliveries]) => (lanes[index]?.single ? deliveries.slice(0, 1) : deliveries));
  const bodies = await readBodies(tx, wanted, bodyBytes);
  const contents = lanes.map((_, index): LaneContent | null => {
    const all = waiting.get(index) ?? [];
    const read = bodies.get(index) ?? [];
    if (all.length > 0 && read.length === 0) return null;
    const deliveries = all.slice(0, read.length).map((row, place) => toWaitingDelivery(row, read[place] ?? null));
    return { deliveries, complete: deliveries.length === all.length && all.length < deliveriesPerLane };
  });
  const unread = lanes.filter((_, index) => contents[index] === null);
  if (unread.length > 0) await tx.raw(giveBackSql, keysOf(unread));
  return contents;
}

/** The bodies of the first deliveries of each lane, by the place of the lane. */
async function readBodies(
  tx: Transaction,
  wanted: readonly DeliveryRow[],
  bodyBytes: number,
): Promise<Map<number, (string | null)[]>> {
  const bodies = new Map<number, (string | null)[]>();
  if (wanted.length === 0) return bodies;
  const { rows } = await tx.raw<{ rows: BodyRow[] }>(readBodiesSql, {
    lanes: wanted.map((row) => row.lane),
    dates: wanted.map((row) => row.recorded_on),
    positions: wanted.map((row) => row.position),
    days: [...new Set(wanted.map((row) => row.recorded_on))],
    bodyBytes,
  });
  for (const { lane, body } of rows) {
    const ofLane = bodies.get(lane - 1);
    if (ofLane) ofLane.push(body);
    else bodies.set(lane - 1, [body]);
  }
  return bodies;
}

function keysOf(lanes: readonly LaneToRead[]) {
  return { endpointIds: lanes.map(({ endpointId }) => endpointId), orderKeys: lanes.map(({ orderKey }) => orderKey) };
}

/** Walks the primary key of deliveries in each lane. */
const readWaitingSql = `
  SELECT lane.ordinal AS lane, next.position, next.recorded_on::text, next.event_id, next.attempts
  FROM unnest(:endpointIds::uuid[], :orderKeys::text[]) WITH ORDINALITY AS lane (endpoint_id, order_key, ordinal)
  CROSS JOIN LATERAL (
    SELECT position, recorded_on, event_id, attempts FROM deliveries AS delivery
    WHERE delivery.endpoint_id = lane.endpoint_id AND delivery.order_key = lane.order_key AND status = 'waiting'
    ORDER BY position LIMIT :deliveriesPerLane
  ) AS next
  ORDER BY lane.ordinal, next.position`;

/**
 * The first of each lane, then the second of each, and so on, as long as there is room. The days name the partitions when the
 * statement is planned; the primary key of each finds the rows.
 */
const readBodiesSql = `
  WITH wanted AS MATERIALIZED (
    SELECT lane, recorded_on, position, row_number() OVER (PARTITION BY lane ORDER BY position) AS turn
    FROM unnest(:lanes::integer[], :dates::date[], :positions::bigint[]) AS wanted (lane, recorded_on, position)
  ), measured AS (
    SELECT lane, turn, event.payload,
           sum(coalesce(octet_length(event.payload::text), 0)) OVER (ORDER BY turn, lane) AS total,
           row_number() OVER (ORDER BY turn, lane) AS place
    FROM wanted LEFT JOIN events AS event
      ON event.recorded_on = wanted.recorded_on AND event.position = wanted.position AND event.recorded_on = ANY (:days::date[])
  )
  SELECT lane, payload::text AS body FROM measured WHERE total <= :bodyBytes::bigint OR place = 1 ORDER BY lane, turn`;

const giveBackSql = `
  UPDATE delivery_lanes AS lane SET leased_by = NULL, leased_until = NULL
  FROM unnest(:endpointIds::uuid[], :orderKeys::text[]) AS back (endpoint_id, order_key)
  WHERE lane.endpoint_id = back.endpoint_id AND lane.order_key = back.order_key`;

interface DeliveryRow {
  readonly lane: number;
  readonly position: number;
  readonly recorded_on: string;
  readonly event_id: string;
  readonly attempts: number;
}

interface BodyRow {
  readonly lane: number;
  readonly body: string | null;
}

function toWaitingDelivery({ position, event_id, attempts }: DeliveryRow, body: string | null): WaitingDelivery {
  return { position, eventId: event_id, attempts, body };
}
