import { describe, expect, it } from 'vitest';
import { createFlow } from '../../../src/delivery/flow.ts';
import type { LeasedLane } from '../../../src/delivery/lane-lease.ts';

const lane = (endpointId: string, characters: number) =>
  ({ endpointId, deliveries: [{ body: 'x'.repeat(characters) }] }) as unknown as LeasedLane;
const none = new Set<string>();

describe('the room of a worker', () => {
  it('is half of what is free at a time, within the size of a lease, and keeps a part for endpoints without a lane', () => {
    expect(createFlow({ concurrency: 64, lanesPerLease: 100, bodyBytes: 1_000 }).room(none)).toEqual({
      lanes: 32,
      free: 64,
      reserve: 8,
      busy: new Map(),
      bodyBytes: 1_000,
    });
    expect(createFlow({ concurrency: 64, lanesPerLease: 10, bodyBytes: 1_000 }).room(none)).toMatchObject({ lanes: 10 });
    expect(createFlow({ concurrency: 1, lanesPerLease: 10, bodyBytes: 1_000 }).room(none)).toMatchObject({ lanes: 1 });
  });

  it('shrinks with each lane and grows again when it ends', () => {
    const flow = createFlow({ concurrency: 4, lanesPerLease: 10, bodyBytes: 100 });
    const lanes = [lane('a', 10), lane('a', 20), lane('b', 30)];
    for (const each of lanes) flow.begin(each);
    expect(flow.room(none)).toMatchObject({
      lanes: 1,
      free: 1,
      bodyBytes: 40,
      busy: new Map([
        ['a', 2],
        ['b', 1],
      ]),
    });
    for (const each of lanes) flow.end(each);
    expect(flow.room(none)).toMatchObject({ free: 4, bodyBytes: 100, busy: new Map() });
  });

  it('is none when all lanes or all bytes are taken, but one text may always go', () => {
    const flow = createFlow({ concurrency: 2, lanesPerLease: 10, bodyBytes: 100 });
    flow.begin(lane('a', 100));
    expect(flow.room(none)).toBeNull();
    flow.end(lane('a', 100));
    flow.begin(lane('a', 1));
    flow.begin(lane('b', 1));
    expect(flow.room(none)).toBeNull();
    expect(createFlow({ concurrency: 2, lanesPerLease: 10, bodyBytes: 0.5 }).room(none)).toMatchObject({ bodyBytes: 0 });
  });

  it('holds no lane for an endpoint whose circuit is about to open', () => {
    const flow = createFlow({ concurrency: 8, lanesPerLease: 10, bodyBytes: 100 });
    expect(flow.room(new Set(['a']))?.busy).toEqual(new Map([['a', 8]]));
  });
});
