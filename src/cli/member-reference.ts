import { BrokerError } from '../domain/broker-error.ts';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId } from '../infra/unique-id.ts';

/** The user whom a person at a terminal means, by id or e-mail address. Index: users_by_email. */
export async function userIdOf(db: Database, reference: string): Promise<string> {
  if (isUniqueId(reference)) return reference;
  const { rows } = await db.raw<{ rows: { user_id: string }[] }>(
    'SELECT user_id FROM users WHERE lower(email) = lower(?) ORDER BY user_id LIMIT 2',
    [reference],
  );
  if (!rows[0]) throw new BrokerError('not_found', 'there is no user with this id or e-mail address');
  if (rows[1]) throw new BrokerError('conflict', 'several users have this e-mail address: give the id of one');
  return rows[0].user_id;
}
