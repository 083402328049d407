import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';

/**
 * R36: takes a seat for one more active user, to be called in the transaction that makes or restores one. Of two who want the last
 * seat the second waits here until the first has committed, and then counts it.
 * @param maxUsers null: no limit, and nothing is locked
 * @throws BrokerError `licence_limit_reached`
 */
export async function claimSeat(tx: Transaction, maxUsers: number | null): Promise<void> {
  if (maxUsers === null) return;
  await tx.raw(`SELECT pg_advisory_xact_lock(hashtextextended('licence:seats', 0))`);
  if ((await countActiveUsers(tx, maxUsers)) < maxUsers) return;
  throw new BrokerError('licence_limit_reached', `all ${maxUsers} seats of the licence are taken (R36)`, {
    reason: 'licence_limit_reached',
  });
}

/** @param upTo counts no further. Index: users_active. */
export async function countActiveUsers(db: Database | Transaction, upTo: number | null = null): Promise<number> {
  const { rows } = await db.raw<{ rows: { taken: string }[] }>(
    `SELECT count(*) AS taken FROM (SELECT FROM users WHERE status = 'active' LIMIT ?) AS seats`,
    [upTo],
  );
  return Number(rows[0]?.taken ?? 0);
}
