import type { Transaction } from '../infra/postgres.ts';
import { loseGroups } from './plan-group-loss.ts';

/**
 * Takes an app group that is about to be deleted from those of these users who still hold it, with their events.
 * @returns how many lost it
 */
export function dropGroup(
  tx: Transaction,
  which: { readonly workspaceId: string; readonly groupId: string; readonly userIds: readonly string[] },
  now: Date,
): Promise<number> {
  const { workspaceId, groupId, userIds } = which;
  return loseGroups(tx, { workspaceId, groupIds: [groupId], userIds, cause: 'api', now });
}
