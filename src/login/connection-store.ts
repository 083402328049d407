import { BrokerError } from '../domain/broker-error.ts';
import type { Database } from '../infra/postgres.ts';
import { isUniqueId, uniqueId } from '../infra/unique-id.ts';
import { type ConnectionChoice, findCandidates, type LoginHints } from './connection-candidates.ts';
import type { ConnectionInput } from './connection-input.ts';
import {
  type ConnectionForLogin,
  connectionForLoginOf,
  type LoginConnectionRow,
  type StoredConnection,
  type StoredConnectionRow,
  selectStoredConnections,
  storedConnectionOf,
} from './connection-rows.ts';
import {
  atField,
  changedFields,
  checkSyncList,
  checkUnchangeable,
  clearDefault,
  clientSecretOf,
  columnsOf,
  invalidFields,
  keptSecret,
  nameTaken,
  protocolOf,
  resolveWorkspaces,
  writeSyncList,
} from './connection-writes.ts';
import { checkRemovals } from './sync-list-rows.ts';
import { readConnectionText } from './sync-texts.ts';

export interface ConnectionStoreDeps {
  /** A transaction makes every write part of it. */
  readonly db: Database;
  readonly sealedBox: { seal(plain: string, context: string): string; open(sealed: string, context: string): string };
  readonly now: () => Date;
  /** Fetches IdP metadata through the guarded client (law 8). */
  readonly fetchMetadata: (url: string) => Promise<string>;
  /** Throws a BrokerError that says what is wrong with the metadata. */
  readonly readMetadata: (xml: string) => unknown;
}

/** An input whose metadata was fetched and read, ready to be written without any network. */
export interface PreparedConnection {
  readonly input: ConnectionInput;
  readonly metadataXml: string | null;
  /** The version that it was made from: only that one is replaced. Null: whatever is there. */
  readonly basedOn: number | null;
}

const versionMoved = 'version_moved';
const maxUpdateAttempts = 5;

export type ConnectionStore = ReturnType<typeof createConnectionStore>;

/** The context under which a connection's secrets are sealed. */
export function connectionSecretContext(connectionId: string): string {
  return `connection:${connectionId}`;
}

/**
 * Connections and their sync lists. Secrets go in sealed and never come out.
 * Writes throw `validation_failed` and `conflict` with the field, `not_found` for an unknown connection.
 */
export function createConnectionStore({ db, sealedBox, now, fetchMetadata, readMetadata }: ConnectionStoreDeps) {
  async function get(connectionId: string): Promise<StoredConnection | null> {
    if (!isUniqueId(connectionId)) return null;
    const { rows } = await db.raw<{ rows: StoredConnectionRow[] }>(`${selectStoredConnections} WHERE c.connection_id = ?`, [
      connectionId,
    ]);
    return rows[0] ? storedConnectionOf(rows[0]) : null;
  }

  /** @param stored the connection that the input is to replace: its metadata is kept while its address stays the same */
  async function prepare(input: ConnectionInput, stored: StoredConnection | null = null): Promise<PreparedConnection> {
    const basedOn = stored?.version ?? null;
    if (input.protocol.type !== 'saml') return { input, metadataXml: null, basedOn };
    const { metadata_url: url, metadata_xml: xml } = input.protocol;
    if (xml) return { input, metadataXml: checkMetadata(xml, 'protocol.metadata_xml'), basedOn };
    if (!url) throw invalidFields([{ path: 'protocol.metadata_xml', message: 'give the metadata or its address' }]);
    if (stored?.protocol.type === 'saml' && stored.protocol.metadataUrl === url) {
      return { input, metadataXml: stored.protocol.metadataXml, basedOn };
    }
    const fetched = await fetchMetadata(url).catch((error: unknown) => {
      throw atField(error, 'protocol.metadata_url');
    });
    return { input, metadataXml: checkMetadata(fetched, 'protocol.metadata_url'), basedOn };
  }

  /** Writes a new connection and returns it. */
  async function insert({ input, metadataXml }: PreparedConnection): Promise<StoredConnection> {
    const connectionId = uniqueId(now());
    await db
      .transaction(async (tx) => {
        const places = await resolveWorkspaces(tx, input);
        checkSyncList(input);
        if (input.is_default) await clearDefault(tx, connectionId, now());
        const secret = clientSecretOf(input);
        const sealed = secret ? sealedBox.seal(secret, connectionSecretContext(connectionId)) : null;
        await tx('connections').insert({
          connection_id: connectionId,
          workspace_id: places.own,
          ...columnsOf(input, protocolOf(input, metadataXml, sealed)),
          created_at: now(),
          updated_at: now(),
        });
        await writeSyncList(tx, connectionId, places.list, now());
      })
      .catch(nameTaken);
    return (await get(connectionId)) as StoredConnection;
  }

  /**
   * Makes a stored connection what the input says; a client secret that the input leaves out stays.
   * @returns the names of the fields that changed; none: nothing was written and the version stayed
   * @throws BrokerError `conflict`, reason `version_moved`, when the connection changed since it was read
   */
  async function replace(connectionId: string, prepared: PreparedConnection): Promise<readonly string[]> {
    const { input, metadataXml, basedOn } = prepared;
    return db
      .transaction(async (tx) => {
        await tx('connections').where({ connection_id: connectionId }).forUpdate().select('connection_id');
        const { rows } = await tx.raw<{ rows: StoredConnectionRow[] }>(`${selectStoredConnections} WHERE c.connection_id = ?`, [
          connectionId,
        ]);
        if (!rows[0]) throw new BrokerError('not_found', `there is no connection ${connectionId}`);
        const stored = storedConnectionOf(rows[0]);
        if (basedOn !== null && basedOn !== stored.version) {
          throw new BrokerError('conflict', 'the connection was changed at the same moment', { reason: versionMoved });
        }
        const places = await resolveWorkspaces(tx, input);
        checkUnchangeable(stored, input, places.own);
        checkSyncList(input, stored);
        const columns = columnsOf(input, protocolOf(input, metadataXml, sealedSecret(stored, input)));
        const changed = changedFields(stored, columns, places.list);
        if (changed.length === 0) return changed;
        if (input.is_default && !stored.isDefault) await clearDefault(tx, connectionId, now());
        await tx('connections')
          .where({ connection_id: connectionId })
          .update({ ...columns, version: stored.version + 1, updated_at: now() });
        if (changed.includes('sync_list')) {
          await checkRemovals(tx, stored, places.list);
          await tx('connection_workspaces').where({ connection_id: connectionId }).delete();
          await writeSyncList(tx, connectionId, places.list, now());
        }
        return changed;
      })
      .catch(nameTaken);
  }

  return {
    get,
    prepare,
    insert,
    replace,

    async create(input: ConnectionInput): Promise<StoredConnection> {
      return insert(await prepare(input));
    },

    /**
     * Changes a connection by what it is: of two changes at once the second is made to the outcome of the first.
     * @param change gets the connection as it is; called again when it moved meanwhile
     */
    async update(connectionId: string, change: (stored: StoredConnection) => ConnectionInput): Promise<StoredConnection> {
      for (let attempt = 1; ; attempt += 1) {
        const stored = await get(connectionId);
        if (!stored) throw new BrokerError('not_found', `there is no connection ${connectionId}`);
        try {
          await replace(connectionId, await prepare(change(stored), stored));
          return (await get(connectionId)) as StoredConnection;
        } catch (error) {
          const moved = error instanceof BrokerError && error.reason === versionMoved;
          if (!moved || attempt === maxUpdateAttempts) throw error;
        }
      }
    },

    /** Switches a connection off or on; everything else is kept. */
    async setEnabled(connectionId: string, enabled: boolean): Promise<StoredConnection | null> {
      if (!isUniqueId(connectionId)) return null;
      await db('connections')
        .where({ connection_id: connectionId, enabled: !enabled })
        .update({ enabled, version: db.raw('version + 1'), updated_at: now() });
      return get(connectionId);
    },

    /**
     * Pages of connections in the order of their making.
     * @param query `workspaceId`: that workspace's own ones only. Index: connections_pkey, connections_by_workspace.
     */
    async list(query: {
      workspaceId?: string | null;
      after?: string | null;
      limit: number;
    }): Promise<readonly StoredConnection[]> {
      const { rows } = await db.raw<{ rows: StoredConnectionRow[] }>(
        `${selectStoredConnections}
         WHERE (?::uuid IS NULL OR c.workspace_id = ?::uuid) AND (?::uuid IS NULL OR c.connection_id > ?::uuid)
         ORDER BY c.connection_id LIMIT ?`,
        [query.workspaceId ?? null, query.workspaceId ?? null, query.after ?? null, query.after ?? null, query.limit],
      );
      return rows.map(storedConnectionOf);
    },

    /** By its name within one workspace, or on instance level (null). Index: connections_display_name. */
    async findByName(workspaceId: string | null, displayName: string): Promise<StoredConnection | null> {
      const { rows } = await db.raw<{ rows: StoredConnectionRow[] }>(
        `${selectStoredConnections}
         WHERE coalesce(c.workspace_id, '00000000-0000-0000-0000-000000000000')
             = coalesce(?::uuid, '00000000-0000-0000-0000-000000000000') AND c.display_name = ?`,
        [workspaceId, displayName],
      );
      return rows[0] ? storedConnectionOf(rows[0]) : null;
    },

    /** Everything that a login needs, in one statement; null: no such connection. `enabled` is for the caller to check. */
    async loadForLogin(connectionId: string): Promise<ConnectionForLogin | null> {
      const found = await readConnectionText(db, connectionId, null);
      return found?.text ? connectionForLoginOf(JSON.parse(found.text) as LoginConnectionRow) : null;
    },

    candidates(hints: LoginHints): Promise<readonly ConnectionChoice[]> {
      return findCandidates(db, hints);
    },
  };

  /** The stored sealed secret while it opens to the same value: sealing again would look like a change. */
  function sealedSecret(stored: StoredConnection, input: ConnectionInput): string | null {
    const held = stored.protocol.type === 'oidc' ? stored.protocol.sealedClientSecret : null;
    const secret = clientSecretOf(input);
    if (secret === undefined) return held === null ? null : keptSecret(stored, input, held);
    if (secret === null) return null;
    const context = connectionSecretContext(stored.connectionId);
    return held !== null && opensTo(held, context, secret) ? held : sealedBox.seal(secret, context);
  }

  /** A secret whose sealing key is gone can still be replaced. */
  function opensTo(sealed: string, context: string, secret: string): boolean {
    try {
      return sealedBox.open(sealed, context) === secret;
    } catch {
      return false;
    }
  }

  function checkMetadata(xml: string, path: string): string {
    try {
      readMetadata(xml);
      return xml;
    } catch (error) {
      throw atField(error, path);
    }
  }
}
