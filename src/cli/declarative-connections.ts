import { BrokerError } from '../domain/broker-error.ts';
import type { Transaction } from '../infra/postgres.ts';
import { connectionDocument } from '../login/connection-document.ts';
import type { StoredConnection, SyncListEntry } from '../login/connection-rows.ts';
import { type ConnectionStore, createConnectionStore, type PreparedConnection } from '../login/connection-store.ts';
import { checkSyncList } from '../login/connection-writes.ts';
import { createSyncListStore } from '../login/sync-list.ts';
import { chooseSuccessor } from '../login/sync-list-rules.ts';
import type { Departure } from '../membership/plan-types.ts';
import { createWorkspaceStore } from '../membership/workspace-store.ts';
import { at, type Change, changeOf, renamed } from './declarative-change.ts';
import { writeDomains } from './declarative-domains.ts';
import type { Declaration, DeclaredConnection } from './declarative-schema.ts';

interface SecretBox {
  seal(plain: string, context: string): string;
  open(sealed: string, context: string): string;
}

/** Every connection's metadata, with all errors at once. The network first: no transaction waits for it. */
export async function prepareConnections(
  declaration: Declaration,
  deps: {
    readonly db: Parameters<typeof createWorkspaceStore>[0]['db'];
    readonly connections: Pick<ConnectionStore, 'prepare' | 'findByName'>;
    readonly now: () => Date;
  },
): Promise<PreparedConnection[]> {
  const workspaces = createWorkspaceStore(deps);
  const prepared: PreparedConnection[] = [];
  const refused: BrokerError[] = [];
  for (const [index, input] of declaration.connections.entries()) {
    try {
      const workspace = input.workspace === null ? null : await workspaces.find(input.workspace);
      const isNew = input.workspace !== null && workspace === null;
      const stored = isNew ? null : await deps.connections.findByName(workspace?.workspaceId ?? null, input.display_name);
      const connection = await at(`connections.${index}`, () => deps.connections.prepare(input, stored));
      // The file says how things are to be, from whatever they are: another default may move its version meanwhile.
      prepared.push({ ...connection, basedOn: null });
    } catch (error) {
      if (!(error instanceof BrokerError) || error.fields.length === 0) throw error;
      refused.push(error);
    }
  }
  if (refused.length === 0) return prepared;
  const fields = refused.flatMap((error) => error.fields);
  throw new BrokerError('validation_failed', 'connections have errors', { fields, cause: refused[0] });
}

export interface WrittenConnection {
  readonly connectionId: string;
  readonly changes: readonly Change[];
  /** Whether somebody's access may follow from it. */
  readonly touched: boolean;
  readonly departures: readonly Departure[];
}

/** Fields by which members have what they have. */
const decisive = new Set(['enabled', 'group_sync', 'sync_list']);

/** Connections, their sync lists and e-mail domains, within one transaction. */
export function connectionWriterOn(
  tx: Transaction,
  { sealedBox, now }: { readonly sealedBox: SecretBox; readonly now: () => Date },
) {
  const workspaces = createWorkspaceStore({ db: tx, now });
  const connections = createConnectionStore({ db: tx, sealedBox, now, fetchMetadata: noNetwork, readMetadata: () => null });
  const syncLists = createSyncListStore({ db: tx, now });

  return {
    /** @param options `prune`: domains that the file does not name are removed, if it names any list of them */
    async write(
      prepared: PreparedConnection,
      declared: DeclaredConnection,
      { prune }: { readonly prune: boolean },
    ): Promise<WrittenConnection> {
      const stored = await find(declared);
      const written = stored ? await bringInLine(stored, prepared) : await make(prepared);
      const domains = await writeDomains(tx, { connectionId: written.connectionId, declared, prune, now });
      return { ...written, changes: [...written.changes, ...domains] };
    },
  };

  async function find({ workspace: reference, display_name: displayName }: DeclaredConnection): Promise<StoredConnection | null> {
    if (reference === null) return connections.findByName(null, displayName);
    const workspace = await workspaces.find(reference);
    return workspace && connections.findByName(workspace.workspaceId, displayName);
  }

  async function make(prepared: PreparedConnection): Promise<WrittenConnection> {
    const made = await connections.insert(prepared);
    const { connectionId } = made;
    const audit = { ...audited(made), before: null, after: connectionDocument(made) };
    const change: Change = { subject: connectionSubject(made), action: 'created', id: connectionId, audit };
    return { connectionId, changes: [change], touched: true, departures: [] };
  }

  async function bringInLine(stored: StoredConnection, prepared: PreparedConnection): Promise<WrittenConnection> {
    const { connectionId } = stored;
    const { input } = prepared;
    const leaving = stored.syncList.filter(
      ({ workspaceId, workspaceSlug }) =>
        !input.sync_list.some(({ workspace }) => workspace === workspaceId || workspace === workspaceSlug),
    );
    checkSyncList(input, stored);
    checkSuccessor(input.sync_list, leaving);
    // Who leaves stays for the moment: the list ends their members' access itself, with the events.
    const hasDefault = input.sync_list.some((entry) => entry.is_default);
    const whole = [...input.sync_list, ...leaving.map((entry) => listedEntry(entry, entry.isDefault && !hasDefault))];
    const fields = await connections.replace(connectionId, { ...prepared, input: { ...input, sync_list: whole } });
    const left: Change[] = [];
    for (const entry of leaving) left.push(await leave(stored, entry));
    const after = (await connections.get(connectionId)) ?? stored;
    const changed = leaving.length > 0 && !fields.includes('sync_list') ? [...fields, 'sync_list'] : fields;
    const audit = { ...audited(stored), before: connectionDocument(stored), after: connectionDocument(after) };
    return {
      connectionId,
      changes: [changeOf(connectionSubject(stored), changed, audit), ...left],
      touched: changed.some((field) => decisive.has(field)),
      departures: leaving.map(({ workspaceId }) => ({ workspaceId, connectionId })),
    };
  }

  async function leave(connection: StoredConnection, { workspaceId, workspaceSlug }: SyncListEntry): Promise<Change> {
    const { connectionId } = connection;
    const warning = await syncLists.remove(connectionId, workspaceId, {}).catch(atSyncList);
    const token = warning.kind === 'unconfirmed' ? warning.token : undefined;
    const removal = await syncLists.remove(connectionId, workspaceId, { confirm: token });
    const members = removal.kind === 'removed' ? removal.members : 0;
    return {
      subject: `workspace ${workspaceSlug} on the sync list of ${connectionSubject(connection)}`,
      action: 'removed',
      detail: membersText(members),
    };
  }
}

export function connectionSubject({
  displayName,
  workspaceSlug,
}: Pick<StoredConnection, 'displayName' | 'workspaceSlug'>): string {
  return `connection "${displayName}" ${workspaceSlug === null ? 'of the instance' : `of ${workspaceSlug}`}`;
}

export function membersText(members: number): string {
  return members === 1 ? '1 member loses access' : `${members} members lose access`;
}

/** R7: the default workspace leaves only where the file names another one that is enabled and inherits. */
function checkSuccessor(declared: DeclaredConnection['sync_list'], leaving: readonly SyncListEntry[]): void {
  const next = declared.find((entry) => entry.is_default);
  const before = leaving.find(({ isDefault }) => isDefault);
  if (!next || !before) return;
  const listed = declared.map((entry) => ({
    workspaceId: entry.workspace,
    workspaceSlug: entry.workspace,
    isDefault: false,
    enabled: entry.enabled,
    inherits: entry.claim_name === null && entry.mapping === null,
  }));
  try {
    chooseSuccessor([...listed, { ...before, inherits: true }], before.workspaceId, next.workspace);
  } catch (error) {
    atSyncList(error);
  }
}

function listedEntry(entry: SyncListEntry, isDefault: boolean): DeclaredConnection['sync_list'][number] {
  const { workspaceId: workspace, enabled, claimName, mapping } = entry;
  const overridden = mapping && { rules: [...mapping.rules], oneToOne: mapping.oneToOne };
  return { workspace, is_default: isDefault, enabled, claim_name: claimName, mapping: overridden };
}

function audited({ connectionId, workspaceId }: StoredConnection) {
  return { resource: 'connections', resourceId: connectionId, workspaceId };
}

function atSyncList(error: unknown): never {
  throw renamed(error, () => 'sync_list');
}

async function noNetwork(): Promise<never> {
  throw new BrokerError('internal', 'metadata is fetched before the transaction begins');
}
