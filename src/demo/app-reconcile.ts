import { setTimeout as sleep } from 'node:timers/promises';
import type { CopyDigest, MemberCopy } from './app-member-copy.ts';
import { readMembershipEvent } from './app-membership-event.ts';
import type { MemberSource, RollcallDigest } from './app-rollcall-api.ts';
import { readSnapshot } from './app-snapshot.ts';

/** How the copy of one workspace stands. */
export interface Comparison {
  readonly inStep: boolean;
  readonly own: CopyDigest;
  readonly rollcall: RollcallDigest;
}

export type Reconciler = ReturnType<typeof createReconciler>;

/**
 * Finds out whether the copy is what Rollcall has, and makes it so (R40).
 * @param deps `pauseMilliseconds`: what a webhook may be on its way, before a difference counts
 */
export function createReconciler(deps: {
  readonly copy: MemberCopy;
  readonly source: MemberSource;
  readonly pauseMilliseconds?: number;
}) {
  const { copy, source, pauseMilliseconds = 500 } = deps;

  async function compare(workspaceId: string): Promise<Comparison> {
    const rollcall = await source.digest(workspaceId);
    const own = copy.digest(workspaceId);
    return { inStep: own.digest === rollcall.digest && own.count === rollcall.count, own, rollcall };
  }

  return {
    /** Changes nothing. A difference that goes away by itself is none: its webhook was on the way. */
    async check(workspaceId: string): Promise<Comparison> {
      let comparison = await compare(workspaceId);
      for (let again = 0; again < 3 && !comparison.inStep; again += 1) {
        await sleep(pauseMilliseconds);
        comparison = await compare(workspaceId);
      }
      return comparison;
    },

    /**
     * Makes the copy anew from a snapshot, then reads the event log from the snapshot's cursor on. Webhooks that come meanwhile reach the
     * new copy too, and a snapshot that breaks off leaves the old one in place.
     */
    async reconcile(workspaceId: string): Promise<Comparison> {
      const fresh = copy.replace(workspaceId);
      try {
        let { cursor } = await readSnapshot(await source.snapshot(workspaceId), fresh.apply);
        for (let more = true; more; ) {
          const page = await source.events(workspaceId, cursor);
          for (const event of page.events) {
            const read = readMembershipEvent(event);
            if (read !== null) fresh.apply(read.member);
          }
          ({ cursor, more } = page);
        }
        fresh.commit();
      } finally {
        fresh.abandon();
      }
      return compare(workspaceId);
    },
  };
}
