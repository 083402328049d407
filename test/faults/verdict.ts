import { createMemberDigest } from '../../src/membership/digest.ts';
import type { LoginClaims } from '../bench/login-world.ts';
import type { HeldMember, ReceivedEvent } from '../support/fault-receiver.ts';

/** What a run comes to. Everything from `lost` on must be 0. */
export interface Verdict {
  /** Events of memberships. */
  readonly changed: number;
  readonly events: number;
  /** Events that the app took. */
  readonly deliveries: number;
  /** Requests that reached the app. */
  readonly attempts: number;
  /** Requests with an event that the app had taken before; they have its id and its body. */
  readonly duplicates: number;
  /** Those of them that followed an answer that had reached the sender's machine whole: its process died, stood still, or could not record it. */
  readonly needless: number;
  /** Events that the app never took, and versions that a login told the app and no event did. */
  readonly lost: number;
  /** Events that came before the app had taken an earlier one of their order key, and versions not in the order of their events. */
  readonly reordered: number;
  /** Members of whom the app holds something else than memberships or snapshot say; logins that said something else; another digest. */
  readonly drift: number;
  /** Events that the app got although their transaction never committed, and gaps between the versions of a member. */
  readonly phantom: number;
  /** Requests with the id of an event and not its body, or with a signature that its secret did not make. */
  readonly altered: number;
  /** Events that a walk through `GET /v1/events` left out or repeated, and events of one order key that stood in another order. */
  readonly log: number;
}

export interface CommittedEvent {
  /** As in `webhook-id`. */
  readonly id: string;
  readonly orderKey: string;
  readonly payload: string;
}

export interface Evidence {
  /** In the order of their positions. */
  readonly committed: readonly CommittedEvent[];
  /** By workspace id, slash, user id. */
  readonly members: ReadonlyMap<string, HeldMember>;
  /** The same as `GET /v1/workspaces/{id}/snapshot` gives them. */
  readonly snapshot: ReadonlyMap<string, HeldMember>;
  /** As `GET /v1/workspaces/{id}/digest` gives it. */
  readonly digest: string;
  /** What the app tells. */
  readonly app: {
    readonly events: ReadonlyMap<string, ReceivedEvent>;
    readonly members: ReadonlyMap<string, HeldMember>;
    readonly versions: ReadonlyMap<string, ReadonlyMap<number, HeldMember>>;
    readonly counts: { readonly altered: number; readonly wronglySigned: number };
  };
  /** Of the logins that succeeded. */
  readonly claims: readonly LoginClaims[];
  /** Ids in the order in which the log gave them. */
  readonly log: readonly string[];
}

/** Compares what the app took with what committed. */
export function judge(evidence: Evidence): Verdict {
  const { committed, app } = evidence;
  const bodies = new Map(committed.map(({ id, payload }) => [id, payload]));
  const received = [...app.events];
  const told = compareWithLogins(evidence);
  return {
    changed: committed.filter(({ payload }) => payload.startsWith('{"type":"membership.')).length,
    events: committed.length,
    deliveries: received.filter(([, event]) => event.firstAcceptance !== null).length,
    attempts: received.reduce((sum, [, { receipts }]) => sum + receipts, 0),
    duplicates: received.reduce((sum, [, { duplicates }]) => sum + duplicates, 0),
    needless: received.reduce((sum, [, { needless }]) => sum + needless, 0),
    lost: countUntaken(evidence) + told.unknown,
    reordered: countReordered(evidence),
    drift:
      countDrift(evidence.members, app.members) +
      countDrift(evidence.snapshot, app.members) +
      (evidence.digest === digestOf(app.members) ? 0 : 1) +
      told.different,
    phantom: received.filter(([id]) => !bodies.has(id)).length + countGaps(evidence),
    altered:
      app.counts.altered +
      app.counts.wronglySigned +
      received.filter(([id, { text }]) => bodies.has(id) && bodies.get(id) !== text).length,
    log: countLogErrors(evidence),
  };
}

/** How many committed events the app has not taken. */
export function countUntaken({ committed, app }: Pick<Evidence, 'committed' | 'app'>): number {
  return committed.filter(({ id }) => (app.events.get(id)?.firstAcceptance ?? null) === null).length;
}

/** Nothing lost, nothing out of order, nothing else than what committed. */
export function isClean({ lost, reordered, drift, phantom, altered, log }: Verdict): boolean {
  return lost + reordered + drift + phantom + altered + log === 0;
}

/** Strictly: an event of an order key comes only when the app has taken all earlier ones, and versions grow with positions. */
function countReordered({ committed, app }: Evidence): number {
  let reordered = 0;
  for (const lane of Map.groupBy(committed, ({ orderKey }) => orderKey).values()) {
    let takenAt = 0;
    let version = 0;
    for (const { id, payload } of lane) {
      const event = app.events.get(id);
      const { data } = JSON.parse(payload) as { data: { version?: number } };
      if ((data.version ?? version) < version) reordered += 1;
      version = data.version ?? version;
      if (event === undefined) continue;
      if (event.firstReceipt < takenAt) reordered += 1;
      takenAt = Math.max(takenAt, event.firstAcceptance ?? Number.POSITIVE_INFINITY);
    }
  }
  return reordered;
}

/** Versions of a member start at 1 and leave nothing out: a change whose commit failed left no number behind. */
function countGaps({ app }: Evidence): number {
  let gaps = 0;
  for (const versions of app.versions.values()) {
    for (let version = 1; version <= Math.max(...versions.keys()); version += 1) if (!versions.has(version)) gaps += 1;
  }
  return gaps;
}

function countDrift(truth: ReadonlyMap<string, HeldMember>, app: ReadonlyMap<string, HeldMember>): number {
  const keys = new Set([...truth.keys(), ...app.keys()]);
  return [...keys].filter((key) => textOf(truth.get(key)) !== textOf(app.get(key))).length;
}

/** As the app computes it over its copy. */
export function digestOf(members: ReadonlyMap<string, HeldMember>): string {
  const digest = createMemberDigest();
  for (const [key, { version, role, groups, status }] of members) {
    const userId = key.slice(key.indexOf('/') + 1);
    if (status === 'active') digest.add({ userId, version, role, groupIds: groups.map(({ id }) => id) });
  }
  return digest.hex();
}

/** Each login told the app a version and what it holds; the event of that version must have said the same. */
function compareWithLogins({ claims, app }: Evidence): { unknown: number; different: number } {
  const found = { unknown: 0, different: 0 };
  for (const { sub, memberships } of claims) {
    for (const { workspace_id, membership_version, role, groups } of memberships) {
      const event = app.versions.get(`${workspace_id}/${sub}`)?.get(membership_version);
      if (event === undefined) found.unknown += 1;
      else if (event.role !== role || namesOf(event).join() !== groups.toSorted().join()) found.different += 1;
    }
  }
  return found;
}

function countLogErrors({ committed, log }: Evidence): number {
  const places = new Map(log.map((id, place) => [id, place]));
  let errors = log.length - places.size + committed.filter(({ id }) => !places.has(id)).length;
  for (const lane of Map.groupBy(committed, ({ orderKey }) => orderKey).values()) {
    const order = lane.map(({ id }) => places.get(id) ?? Number.NaN);
    errors += order.filter((place, index) => place < (order[index - 1] ?? -1)).length;
  }
  return errors;
}

function textOf(member: HeldMember | undefined): string | undefined {
  return member && JSON.stringify([Number(member.version), member.status, member.role, namesOf(member)]);
}

function namesOf({ groups }: HeldMember): string[] {
  return groups.map(({ name }) => name).sort();
}
