import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultRandom } from './fault-random.ts';

/** What the app holds of a member. */
export interface HeldMember {
  readonly version: number;
  readonly status: 'active' | 'removed';
  readonly role: string;
  readonly groups: readonly { readonly id: string; readonly name: string }[];
}

export interface ReceivedEvent {
  readonly text: string;
  /** Receipts and acceptances of all events are numbered in the order in which they happened. */
  readonly firstReceipt: number;
  firstAcceptance: number | null;
  receipts: number;
  /** How often it came although the app had taken it already. */
  duplicates: number;
  /** How often it came although the sender had been told so: the answer had gone out whole, on a connection that lived. */
  needless: number;
  acknowledged: boolean;
}

/** The app: takes webhooks as `docs/webhooks.md` says, while its server and network fail at random. */
export interface FaultReceiver {
  readonly url: string;
  /** By webhook-id. */
  readonly events: ReadonlyMap<string, ReceivedEvent>;
  /** By workspace id, slash, user id: the latest version. */
  readonly members: ReadonlyMap<string, HeldMember>;
  /** Every version taken, by the same key. */
  readonly versions: ReadonlyMap<string, ReadonlyMap<number, HeldMember>>;
  readonly counts: {
    readonly requests: number;
    /** Requests of a known id with another body. */
    readonly altered: number;
    readonly wronglySigned: number;
    /** Largest distance of a webhook-timestamp from the receiver's clock. */
    readonly largestClockDifferenceMilliseconds: number;
  };
  secret: string;
  /** No more faults. */
  heal(): void;
  close(): Promise<void>;
}

/**
 * `lost-*`: the app took the event, but the sender does not learn of it. An answer that breaks off after its status counts as taken: the
 * app has said 200.
 */
const behaviours = [
  { kind: 'accept', share: 66 },
  { kind: 'accept-slowly', share: 8 },
  { kind: 'status-500', share: 9 },
  { kind: 'status-503', share: 2 },
  { kind: 'reset', share: 4 },
  { kind: 'lost-reset', share: 4 },
  { kind: 'lost-close-mid-body', share: 4 },
  { kind: 'silence', share: 1.5 },
  { kind: 'lost-silence', share: 1.5 },
] as const;
type Behaviour = (typeof behaviours)[number]['kind'];

export async function startFaultReceiver(random: FaultRandom): Promise<FaultReceiver> {
  const events = new Map<string, ReceivedEvent>();
  const members = new Map<string, HeldMember>();
  const versions = new Map<string, Map<number, HeldMember>>();
  const counts = { requests: 0, altered: 0, wronglySigned: 0, largestClockDifferenceMilliseconds: 0 };
  let moments = 0;
  let healthy = false;

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A sender that is killed leaves half a body: that throws, and counts for nothing.
    const text = await readText(request);
    counts.requests += 1;
    const id = String(request.headers['webhook-id']);
    const timestamp = String(request.headers['webhook-timestamp']);
    const difference = Math.abs(Number(timestamp) * 1_000 - Date.now());
    counts.largestClockDifferenceMilliseconds = Math.max(counts.largestClockDifferenceMilliseconds, difference);
    if (!isSigned(receiver.secret, `${id}.${timestamp}.${text}`, String(request.headers['webhook-signature']))) {
      counts.wronglySigned += 1;
      response.writeHead(401).end();
      return;
    }
    const event = events.get(id) ?? {
      text,
      firstReceipt: ++moments,
      firstAcceptance: null,
      receipts: 0,
      duplicates: 0,
      needless: 0,
      acknowledged: false,
    };
    events.set(id, event);
    event.receipts += 1;
    if (event.text !== text) counts.altered += 1;
    if (event.firstAcceptance !== null) event.duplicates += 1;
    if (event.acknowledged) event.needless += 1;
    const behaviour = healthy ? 'accept' : chooseBehaviour(random);
    if (behaviour === 'accept-slowly') await sleep(random.between(5, 120));
    if (behaviour.startsWith('accept') || behaviour.startsWith('lost')) {
      if (event.firstAcceptance === null) {
        event.firstAcceptance = ++moments;
        apply(JSON.parse(text));
      }
    }
    if (behaviour.startsWith('accept')) {
      response.once('finish', () => {
        event.acknowledged = true;
      });
    }
    answer(response, behaviour);
  }

  function apply({ type, data }: { type: string; data: MembershipData }): void {
    if (!type.startsWith('membership.')) return;
    const key = `${data.workspace.id}/${data.user.id}`;
    const held: HeldMember = {
      version: data.version,
      status: type === 'membership.removed' ? 'removed' : 'active',
      role: data.role,
      groups: data.groups,
    };
    const known = versions.get(key) ?? new Map<number, HeldMember>();
    versions.set(key, known.set(held.version, held));
    if (held.version > (members.get(key)?.version ?? 0)) members.set(key, held);
  }

  const receiver = {
    url: '',
    events,
    members,
    versions,
    counts,
    secret: '',
    heal() {
      healthy = true;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(receiver, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` });
}

interface MembershipData {
  readonly workspace: { readonly id: string };
  readonly user: { readonly id: string };
  readonly version: number;
  readonly role: string;
  readonly groups: HeldMember['groups'];
}

function chooseBehaviour(random: FaultRandom): Behaviour {
  let left = random.next() * behaviours.reduce((sum, { share }) => sum + share, 0);
  for (const { kind, share } of behaviours) {
    left -= share;
    if (left < 0) return kind;
  }
  return 'accept';
}

function answer(response: ServerResponse, behaviour: Behaviour): void {
  switch (behaviour) {
    case 'accept':
    case 'accept-slowly':
      response.writeHead(200).end();
      return;
    case 'status-500':
      response.writeHead(500).end('the database is away');
      return;
    case 'status-503':
      response.writeHead(503, { 'retry-after': '1' }).end();
      return;
    case 'reset':
    case 'lost-reset':
      response.socket?.resetAndDestroy();
      return;
    case 'lost-close-mid-body':
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
      return;
    case 'silence':
    case 'lost-silence':
      return;
    default:
      behaviour satisfies never;
  }
}

/** By hand: a receiver's package would refuse the timestamps of a clock that stepped. */
function isSigned(secret: string, content: string, header: string): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const expected = `v1,${createHmac('sha256', key).update(content).digest('base64')}`;
  return header.split(' ').includes(expected);
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
