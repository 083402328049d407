import type { Database } from '../infra/postgres.ts';
import type { DeliveryTarget } from './attempt.ts';
import { type LaneToRead, readLanes, type WaitingDelivery } from './lane-contents.ts';

/**
 * A lane is the queue of one order key at one endpoint. It is leased as a whole; its deliveries are sent one after the other.
 *
 * Leases and due times go by the clock of Postgres, the one clock that all workers share: what a worker's own clock says, or a step
 * of it, decides nothing.
 */
export interface LeasedLane {
  readonly endpointId: string;
  readonly orderKey: string;
  readonly target: DeliveryTarget;
  /** Changes when deliveries are added to the lane. */
  readonly revision: number;
  /** With the worker's id the name of the lease, as Postgres wrote it: a lane that the same worker took again has another. */
  readonly leasedUntil: string;
  /** A moment before the lease began, by the worker's clock. */
  readonly requestedAt: Date;
  /** The first that wait, in order; the lane may hold more. */
  readonly deliveries: readonly WaitingDelivery[];
  /** Whether these are all that waited when it was leased. */
  readonly complete: boolean;
  /** The endpoint's circuit is open, and this lane is to show whether it works again. */
  readonly probe: boolean;
  /** How long the endpoint had failed without a success; null: it works, as far as is known. */
  readonly failingSeconds: number | null;
  /** Of an endpoint with a rate limit: the pause until the moment reserved for this lane's one delivery. */
  readonly waitMilliseconds: number;
}

/** What the worker has in the air, and how much more it can take on. */
export interface LeaseRoom {
  /** The most lanes to lease. */
  readonly lanes: number;
  /** How many lanes could be in the air on top of those that are. */
  readonly free: number;
  /** How many of these are kept for endpoints that have nothing in the air. */
  readonly reserve: number;
  /** Lanes in the air, by endpoint. */
  readonly busy: ReadonlyMap<string, number>;
  /** How much text may be read; the first delivery of all comes whatever its length. */
  readonly bodyBytes: number;
}

export interface Leased {
  readonly lanes: readonly LeasedLane[];
  /** When an endpoint that is held up may be tried: by its circuit or its rate limit. Null: none that has something due. */
  readonly againSeconds: number | null;
}

export interface LaneLeaseOptions {
  readonly db: Database;
  readonly readTargets: (db: Database, endpointIds: readonly string[]) => Promise<Map<string, DeliveryTarget>>;
  readonly now: () => Date;
  readonly workerId: string;
  readonly leaseSeconds: number;
  readonly deliveriesPerLane: number;
}

/** How far ahead moments of a rate limit are given away: what is reserved is leased, and waits in the worker's memory. */
const horizonSeconds = 0.1;

/** @returns a function that leases lanes that are due or whose lease ran out, with their first deliveries */
export function createLaneLease({ db, readTargets, now, workerId, leaseSeconds, deliveriesPerLane }: LaneLeaseOptions) {
  return async function lease(room: LeaseRoom): Promise<Leased> {
    const requestedAt = now();
    return db.transaction(async (tx) => {
      const { rows } = await tx.raw<{ rows: LeaseRow[] }>(leaseSql, {
        workerId,
        leaseSeconds,
        horizonSeconds,
        laneLimit: room.lanes,
        free: room.free,
        reserve: room.reserve,
        busyIds: [...room.busy.keys()],
        busyLanes: [...room.busy.values()],
      });
      const unknown = rows[0]?.unknown ?? false;
      if (unknown) await tx.raw(knowLimitedSql);
      const againSeconds = unknown ? 0 : (rows[0]?.again_seconds ?? null);
      const found = rows.filter(isLane);
      if (found.length === 0) return { lanes: [], againSeconds };
      const contents = await readLanes(tx, found.map(toLaneToRead), { deliveriesPerLane, bodyBytes: room.bodyBytes });
      const targets = await readTargets(tx, [...new Set(found.map((lane) => lane.endpoint_id))]);
      const leased = found.flatMap((lane, index): LeasedLane[] => {
        const content = contents[index];
        if (content === undefined || content === null) return [];
        return [
          {
            ...content,
            endpointId: lane.endpoint_id,
            orderKey: lane.order_key,
            target: targets.get(lane.endpoint_id) ?? noTarget,
            revision: lane.revision,
            leasedUntil: lane.leased_until,
            requestedAt,
            probe: lane.probe,
            failingSeconds: lane.failing_seconds,
            waitMilliseconds: Math.max(0, (lane.wait_seconds ?? 0) * 1_000),
          },
        ];
      });
      return { lanes: leased, againSeconds };
    });
  };
}

/**
 * Endpoints in random order, so that none starves another; walks the index delivery_lanes_due of each until the limit is reached.
 * Lanes of a disabled endpoint, and of one whose circuit is open, stay due and are passed by.
 *
 * `room`: an endpoint gets at most as many lanes as stay free besides: alone it has half of all, n of them come to an n+1st part
 * each. The last free ones go singly to endpoints that have none: slow endpoints do not keep a quick one waiting.
 *
 * `guarded` are endpoints with a rate limit or an open circuit; their row of health is locked, one worker at a time. A limited one
 * gets the next moments, evenly spaced from `reserved_until` on (generic cell rate algorithm, without bursts); one whose pause is
 * over gets one lane, and its next pause begins at once, in case the worker dies over it.
 *
 * There is always a row: `again_seconds` is told also when nothing is leased.
 */
const leaseSql = `
  WITH guarded AS MATERIALIZED (
    SELECT health.endpoint_id, paused_until IS NOT NULL AS probe, rate_limit_per_second AS rate, max_concurrency,
           greatest(reserved_until, now()) AS first_moment, failing_since
    FROM endpoint_health AS health JOIN endpoints AS endpoint USING (endpoint_id)
    WHERE enabled AND (rate_limit_per_second IS NOT NULL OR paused_until IS NOT NULL)
      AND (paused_until IS NULL OR paused_until <= now())
      AND (rate_limit_per_second IS NULL OR reserved_until IS NULL OR reserved_until <= now() + make_interval(secs => :horizonSeconds))
      AND EXISTS (SELECT FROM delivery_lanes AS lane WHERE lane.endpoint_id = health.endpoint_id AND due_at <= now()
                    AND (leased_until IS NULL OR leased_until <= now()))
    FOR NO KEY UPDATE OF health SKIP LOCKED
  ), open AS MATERIALIZED (
    SELECT endpoint_id, probe, rate, max_concurrency, first_moment, failing_since,
           least(CASE WHEN probe THEN 1 END, floor((extract(epoch FROM now() - first_moment)::float8 + :horizonSeconds::float8) * rate)::integer + 1) AS allowed
    FROM guarded
    UNION ALL
    SELECT endpoint_id, false, NULL, max_concurrency, NULL, failing_since, NULL
    FROM endpoints LEFT JOIN endpoint_health AS health USING (endpoint_id)
    WHERE enabled AND rate_limit_per_second IS NULL AND paused_until IS NULL
  ), room AS MATERIALIZED (
    SELECT open.endpoint_id, probe, rate, first_moment, failing_since,
           least(allowed, max_concurrency - coalesce(busy.lanes, 0), greatest(least(ceil((:free::integer - coalesce(busy.lanes, 0)) / 2.0), :free::integer - :reserve::integer),
                          CASE WHEN busy.lanes IS NULL THEN 1 ELSE 0 END))::integer AS lanes
    FROM open LEFT JOIN unnest(:busyIds::uuid[], :busyLanes::integer[]) AS busy (endpoint_id, lanes) USING (endpoint_id)
    ORDER BY random()
  ), due AS MATERIALIZED (
    SELECT room.endpoint_id, lane.order_key, probe, rate, first_moment, failing_since
    FROM room
    CROSS JOIN LATERAL (
      SELECT order_key FROM delivery_lanes
      WHERE endpoint_id = room.endpoint_id AND due_at <= now() AND (leased_until IS NULL OR leased_until <= now())
      ORDER BY due_at LIMIT room.lanes
      FOR NO KEY UPDATE SKIP LOCKED
    ) AS lane
    WHERE room.lanes > 0
    LIMIT :laneLimit
  ), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY endpoint_id) - 1 AS place FROM due
  ), leased AS (
    UPDATE delivery_lanes AS lane
    SET leased_by = :workerId, leased_until = now() + make_interval(secs => :leaseSeconds)
    FROM numbered WHERE lane.endpoint_id = numbered.endpoint_id AND lane.order_key = numbered.order_key
    RETURNING lane.endpoint_id, lane.order_key, lane.revision, lane.leased_until::text, numbered.probe,
              extract(epoch FROM now() - failing_since)::float8 AS failing_seconds,
              (extract(epoch FROM first_moment - now()) + place / rate::numeric)::float8 AS wait_seconds
  ), reserved AS (
    UPDATE endpoint_health AS health SET
      reserved_until = CASE WHEN rate IS NULL THEN reserved_until ELSE first_moment + make_interval(secs => taken / rate::float8) END,
      paused_until = CASE WHEN probe THEN now() + make_interval(secs => :leaseSeconds) END
    FROM (SELECT endpoint_id, probe, rate, first_moment, count(*) AS taken FROM due
          WHERE probe OR rate IS NOT NULL GROUP BY endpoint_id, probe, rate, first_moment) AS spoken
    WHERE health.endpoint_id = spoken.endpoint_id
  ), held AS (
    SELECT extract(epoch FROM min(moment) - now())::float8 AS again_seconds
    FROM (
      SELECT health.endpoint_id,
             greatest(paused_until, CASE WHEN rate_limit_per_second IS NOT NULL THEN reserved_until - make_interval(secs => :horizonSeconds) END) AS moment
      FROM endpoint_health AS health JOIN endpoints USING (endpoint_id)
      WHERE enabled AND (paused_until IS NOT NULL OR rate_limit_per_second IS NOT NULL)
    ) AS held
    WHERE moment > now() AND EXISTS (SELECT FROM delivery_lanes AS lane WHERE lane.endpoint_id = held.endpoint_id AND due_at <= now()
                                       AND (leased_until IS NULL OR leased_until <= now()))
  )
  SELECT leased.*, again_seconds,
         EXISTS (SELECT FROM endpoints AS endpoint WHERE enabled AND rate_limit_per_second IS NOT NULL
                   AND NOT EXISTS (SELECT FROM endpoint_health AS health WHERE health.endpoint_id = endpoint.endpoint_id)) AS unknown
  FROM held LEFT JOIN leased ON true`;

const knowLimitedSql = `
  INSERT INTO endpoint_health (endpoint_id)
  SELECT endpoint_id FROM endpoints WHERE enabled AND rate_limit_per_second IS NOT NULL
  ORDER BY endpoint_id
  ON CONFLICT DO NOTHING`;

interface LaneRow {
  readonly endpoint_id: string;
  readonly order_key: string;
  readonly revision: number;
  readonly leased_until: string;
  readonly probe: boolean;
  readonly failing_seconds: number | null;
  readonly wait_seconds: number | null;
}

/** On every row; the one row of an empty lease holds nothing else. */
interface Hints {
  readonly again_seconds: number | null;
  readonly unknown: boolean;
}

type LeaseRow = Hints & (LaneRow | { readonly order_key: null });

function isLane(row: LeaseRow): row is Hints & LaneRow {
  return row.order_key !== null;
}

/** Lanes refer to their endpoint: there is always one. */
const noTarget: DeliveryTarget = { url: '', keys: null, headers: {}, rateLimitPerSecond: null, maxConcurrency: null };

/** A probe asks once, and a moment that was reserved is good for one delivery. */
function toLaneToRead({ endpoint_id, order_key, probe, wait_seconds }: LaneRow): LaneToRead {
  return { endpointId: endpoint_id, orderKey: order_key, single: probe || wait_seconds !== null };
}
