import type { LeasedLane, LeaseRoom } from './lane-lease.ts';

export interface FlowLimits {
  /** Lanes in the air at a time, and with them requests. */
  readonly concurrency: number;
  /** The most lanes that one statement leases. */
  readonly lanesPerLease: number;
  /** Bodies in memory, in bytes of text. */
  readonly bodyBytes: number;
}

/** Counts what a worker has in the air: lanes by endpoint, and the text they carry. */
export function createFlow({ concurrency, lanesPerLease, bodyBytes }: FlowLimits) {
  const reserve = Math.floor(concurrency / 8);
  const busy = new Map<string, number>();
  let lanes = 0;
  let bytes = 0;

  /** Null: there is room for nothing until a lane ends. */
  function room(opening: ReadonlySet<string>): LeaseRoom | null {
    const free = concurrency - lanes;
    // With nothing in the air one delivery goes whatever its length.
    if (free <= 0 || (bytes >= bodyBytes && lanes > 0)) return null;
    const blocked = [...opening].map((endpointId) => [endpointId, concurrency] as const);
    return {
      // Half of what is free: what one endpoint takes counts before the next one takes.
      lanes: Math.min(Math.ceil(free / 2), lanesPerLease),
      free,
      reserve,
      busy: new Map([...busy, ...blocked]),
      bodyBytes: Math.floor(bodyBytes - bytes),
    };
  }

  function begin(lane: LeasedLane): void {
    lanes += 1;
    bytes += bodyLength(lane);
    busy.set(lane.endpointId, (busy.get(lane.endpointId) ?? 0) + 1);
  }

  function end(lane: LeasedLane): void {
    lanes -= 1;
    bytes -= bodyLength(lane);
    const left = (busy.get(lane.endpointId) ?? 0) - 1;
    if (left > 0) busy.set(lane.endpointId, left);
    else busy.delete(lane.endpointId);
  }

  return { room, begin, end };
}

function bodyLength({ deliveries }: LeasedLane): number {
  return deliveries.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
}
