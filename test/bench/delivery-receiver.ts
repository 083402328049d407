/**
 * The receiver of `bench:delivery`, a process of its own: answers 200 to every webhook, keeps the order of each member's versions under
 * observation, and says when everything expected has come. `/silent` takes requests and never answers.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Told by the benchmark. */
export type ReceiverOrder = { readonly kind: 'expect'; readonly deliveries: number; readonly keepArrivals: boolean };

/** Told to the benchmark. Times by the machine's monotonic clock (`process.hrtime`), which all processes share. */
export type ReceiverReport =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'expecting' }
  | {
      readonly kind: 'complete';
      readonly lastMilliseconds: number;
      readonly repeated: number;
      readonly outOfOrder: number;
      /** Arrival of each webhook-id, if they were to be kept. */
      readonly arrivals: readonly (readonly [id: string, milliseconds: number])[];
    };

export const monotonicMilliseconds = (): number => Number(process.hrtime.bigint()) / 1e6;

let expected = 0;
let keepArrivals = false;
let repeated = 0;
let outOfOrder = 0;
let seen = new Set<string>();
let arrivals: [string, number][] = [];
/** By path and member; kept over all rounds, so that versions go on growing. */
const lastVersions = new Map<string, number>();

const server = createServer((request, response) => {
  const arrived = monotonicMilliseconds();
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/silent') return;
    response.writeHead(200).end();
    take(request.url ?? '', String(request.headers['webhook-id']), Buffer.concat(chunks).toString('utf8'), arrived);
  });
});

function take(path: string, id: string, text: string, arrived: number): void {
  const key = `${path} ${id}`;
  if (seen.has(key)) {
    repeated += 1;
    return;
  }
  seen.add(key);
  const { data } = JSON.parse(text) as { data: { user: { id: string }; version: number } };
  const member = `${path} ${data.user.id}`;
  if (data.version !== (lastVersions.get(member) ?? 0) + 1) outOfOrder += 1;
  lastVersions.set(member, data.version);
  if (keepArrivals) arrivals.push([id, arrived]);
  if (seen.size === expected) tell({ kind: 'complete', lastMilliseconds: arrived, repeated, outOfOrder, arrivals });
}

function tell(report: ReceiverReport): void {
  process.send?.(report);
}

if (import.meta.main) {
  process.on('message', (order: ReceiverOrder) => {
    expected = order.deliveries;
    keepArrivals = order.keepArrivals;
    repeated = 0;
    outOfOrder = 0;
    seen = new Set();
    arrivals = [];
    tell({ kind: 'expecting' });
  });
  process.on('disconnect', () => process.exit());
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1', () => tell({ kind: 'listening', port: (server.address() as AddressInfo).port }));
}
