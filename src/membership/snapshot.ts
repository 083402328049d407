import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { createMemberDigest } from './digest.ts';
import {
  beforeFirst,
  type MemberPage,
  readGroupNames,
  readHead,
  readMembersAfter,
  readStatesAfter,
  type SnapshotHead,
  type SnapshotMember,
} from './snapshot-store.ts';

/** A snapshot as it is read: one head, members in the order of their ids, one end. Without its end it was cut off. */
export type SnapshotPart =
  | { readonly kind: 'head'; readonly head: SnapshotHead }
  | { readonly kind: 'members'; readonly members: readonly SnapshotMember[] }
  | {
      readonly kind: 'end';
      /** All members before this, those who left too. */
      readonly members: number;
      /** Active ones, which the digest is over. */
      readonly count: number;
      readonly digest: string;
    };

export interface SnapshotReading {
  /** Begins when the first part is asked for; ends, and frees its connection, with the last part or with `return()`. */
  readonly parts: AsyncGenerator<SnapshotPart, void>;
  /** Aborted when no part was asked for in too long a time: the reader is to call `return()`. */
  readonly stalled: AbortSignal;
}

export interface WorkspaceDigest extends SnapshotHead {
  readonly count: number;
  readonly digest: string;
}

export type Snapshots = ReturnType<typeof createSnapshots>;

/**
 * Reads whole workspaces (R40). Each reading is one read-only transaction of its own, in which every page shows the same moment, however
 * long the reader takes and whatever commits meanwhile. One page is held at a time.
 *
 * An open snapshot keeps Postgres from cleaning up, and a connection busy: there are few at a time, and none for ever.
 * @param deps `db`: not the pool of the logins, which would wait for readers
 * @param deps `maxSimultaneous`: readings at a time; one workspace may not take them all, unless there is but one
 * @param deps `stallSeconds`: how long a reader may take for one page
 * @param deps `maxSeconds`: how long a reading may take in all
 */
export function createSnapshots(deps: {
  readonly db: Database;
  readonly maxSimultaneous: number;
  readonly stallSeconds: number;
  readonly maxSeconds: number;
}) {
  const { db, maxSimultaneous, stallSeconds, maxSeconds } = deps;
  const underWay = new Map<string, number>();

  function takeSlot(workspaceId: string): () => void {
    const own = underWay.get(workspaceId) ?? 0;
    const all = [...underWay.values()].reduce((sum, count) => sum + count, 0);
    if (all >= maxSimultaneous || own >= Math.max(maxSimultaneous - 1, 1)) {
      throw new BrokerError('rate_limited', 'too many snapshots or digests are being read', { reason: 'snapshots_busy' });
    }
    underWay.set(workspaceId, own + 1);
    return () => {
      const left = (underWay.get(workspaceId) ?? 1) - 1;
      if (left === 0) underWay.delete(workspaceId);
      else underWay.set(workspaceId, left);
    };
  }

  /** A place among the readers, and a transaction that shows one moment; `close` gives both back. */
  async function open(workspaceId: string): Promise<{ readonly tx: Transaction; close(): Promise<void> }> {
    const freeSlot = takeSlot(workspaceId);
    let tx: Transaction | undefined;
    async function close(): Promise<void> {
      try {
        await tx?.rollback();
      } finally {
        freeSlot();
      }
    }
    try {
      tx = await db.transaction({ isolationLevel: 'repeatable read', readOnly: true });
      // Should this process hang, the server ends the transaction; before that, the reader's own limit does.
      await tx.raw(`SET LOCAL idle_in_transaction_session_timeout = '${stallSeconds + 5}s'`);
      return { tx, close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  async function* readParts(workspaceId: string, stall: AbortController): AsyncGenerator<SnapshotPart, void> {
    const { tx, close } = await open(workspaceId);
    let timer: NodeJS.Timeout | undefined;
    const paced = <Part extends SnapshotPart>(part: Part): Part => {
      timer = setTimeout(() => stall.abort(tooSlow()), stallSeconds * 1_000);
      return part;
    };
    try {
      yield paced({ kind: 'head', head: await readHead(tx, workspaceId) });
      clearTimeout(timer);
      const digest = createMemberDigest();
      let total = 0;
      for await (const members of pages({ tx, workspaceId, read: readMembersAfter, maxSeconds })) {
        for (const member of members) if (member.status === 'active') digest.add(digestedOf(member));
        total += members.length;
        yield paced({ kind: 'members', members });
        clearTimeout(timer);
      }
      yield paced({ kind: 'end', members: total, count: digest.count(), digest: digest.hex() });
    } finally {
      clearTimeout(timer);
      await close();
    }
  }

  return {
    /** @throws (with the first part) BrokerError `not_found`, `rate_limited`; later `unavailable` when it takes too long */
    read(workspaceId: string): SnapshotReading {
      const stall = new AbortController();
      return { parts: readParts(workspaceId, stall), stalled: stall.signal };
    },

    /** @throws BrokerError `not_found`, `rate_limited`, `unavailable` */
    async digest(workspaceId: string): Promise<WorkspaceDigest> {
      const { tx, close } = await open(workspaceId);
      try {
        const head = await readHead(tx, workspaceId);
        const digest = createMemberDigest();
        for await (const members of pages({ tx, workspaceId, read: readStatesAfter, maxSeconds })) {
          for (const member of members) if (member.status === 'active') digest.add(member);
        }
        return { ...head, count: digest.count(), digest: digest.hex() };
      } finally {
        await close();
      }
    },
  };
}

/** A page holds the loop for 2 ms at the most, logins go on in between; members in very many groups make it shorter. */
const maxMembersPerPage = 500;
const groupsPerPage = 20_000;

type PageReader<Row> = (tx: Transaction, page: MemberPage, names: ReadonlyMap<string, string>) => Promise<readonly Row[]>;

async function* pages<Row extends { readonly userId: string }>(options: {
  readonly tx: Transaction;
  readonly workspaceId: string;
  readonly read: PageReader<Row & ({ readonly groups: readonly unknown[] } | { readonly groupIds: readonly unknown[] })>;
  readonly maxSeconds: number;
}): AsyncGenerator<readonly Row[], void> {
  const { tx, workspaceId, read, maxSeconds } = options;
  const endsAt = performance.now() + maxSeconds * 1_000;
  const names = await readGroupNames(tx, workspaceId);
  let after = beforeFirst;
  let limit = 50;
  for (;;) {
    if (performance.now() > endsAt) throw tooSlow();
    const rows = await read(tx, { workspaceId, after, limit }, names);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    if (rows.length < limit) return;
    after = last.userId;
    const groups = rows.reduce((sum, row) => sum + ('groups' in row ? row.groups : row.groupIds).length, 0);
    limit = Math.max(1, Math.min(maxMembersPerPage, 4 * limit, Math.floor((groupsPerPage * rows.length) / Math.max(groups, 1))));
  }
}

function digestedOf({ userId, version, role, groups }: SnapshotMember) {
  return { userId, version, role, groupIds: groups.map(({ groupId }) => groupId) };
}

function tooSlow(): BrokerError {
  return new BrokerError('unavailable', 'the snapshot was given up: its reader took too long', { reason: 'snapshot_too_slow' });
}
