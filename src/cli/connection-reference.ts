import { BrokerError } from '../domain/broker-error.ts';
import { isUniqueId } from '../infra/unique-id.ts';
import type { StoredConnection } from '../login/connection-rows.ts';
import type { Stores } from '../stores.ts';

/** The connection that a person at a terminal means, by id or display name. Index: connections_pkey. */
export async function findConnection(
  { connections, db }: Pick<Stores, 'connections' | 'db'>,
  reference: string,
): Promise<StoredConnection> {
  const ids = isUniqueId(reference)
    ? [reference]
    : await db('connections').where({ display_name: reference }).limit(2).pluck<string[]>('connection_id');
  if (ids.length > 1) throw new BrokerError('conflict', 'several connections have this name: give the id of one');
  const connection = ids[0] === undefined ? null : await connections.get(ids[0]);
  if (!connection) throw new BrokerError('not_found', 'there is no connection with this id or name');
  return connection;
}
