import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import type { DeliveryTarget } from './attempt.ts';
import type { EndpointInput, EndpointPatch } from './endpoint-input.ts';
import {
  columnsOf,
  type Endpoint,
  type EndpointRow,
  type SealedSecret,
  type ShownRow,
  shownColumns,
  toEndpoint,
} from './endpoint-rows.ts';
import { lockFanOut } from './fan-out.ts';
import { generateSecret, secretKey } from './signature.ts';

/** What the store needs of `infra/sealed-box`. */
export interface SecretBox {
  seal(plain: string, context: string): string;
  open(sealed: string, context: string): string;
}

export type EndpointCheck = (endpoint: Endpoint) => void;

/** How long a replaced secret still signs beside the new one. */
const secretOverlapMilliseconds = 24 * 60 * 60 * 1_000;

export function createEndpointStore(deps: { readonly db: Database; readonly sealedBox: SecretBox; readonly now: () => Date }) {
  const { db, sealedBox, now } = deps;

  /**
   * The new endpoint gets the events that commit from now on.
   * @returns the secret, this once
   * @throws BrokerError `conflict` when an endpoint with this address exists
   */
  async function create(input: EndpointInput): Promise<{ endpoint: Endpoint; secret: string }> {
    const secret = input.secret ?? generateSecret();
    return refuseTakenUrl(async () => ({ endpoint: await db.transaction((tx) => insert(tx, input, secret)), secret }));
  }

  async function insert(tx: Transaction, input: EndpointInput, secret: string): Promise<Endpoint> {
    const endpointId = uniqueId(now());
    await lockFanOut(tx);
    const rows: ShownRow[] = await tx('endpoints')
      .insert({
        endpoint_id: endpointId,
        ...columnsOf(input),
        sealed_secrets: JSON.stringify([seal(endpointId, secret)]),
        since_position: tx.raw('(SELECT coalesce(max(position), 0) FROM events)'),
        created_at: now(),
        updated_at: now(),
      })
      .returning(shownColumns);
    return found(rows[0]);
  }

  async function list(): Promise<Endpoint[]> {
    const rows: ShownRow[] = await db('endpoints').whereNull('deleted_at').orderBy('endpoint_id').select(shownColumns);
    return rows.map(toEndpoint);
  }

  /** @throws BrokerError `not_found` */
  async function get(endpointId: string): Promise<Endpoint> {
    const rows: ShownRow[] = await db('endpoints').where(present(endpointId)).select(shownColumns);
    return found(rows[0]);
  }

  /**
   * While an endpoint is disabled its waiting deliveries rest and no new ones are made for it; enabled again, it goes on with them.
   * @param check gets the endpoint as it is, locked; throws what forbids the change
   * @throws BrokerError `not_found`, `conflict`
   */
  async function update(endpointId: string, patch: EndpointPatch, check?: EndpointCheck): Promise<Endpoint> {
    return refuseTakenUrl(() => checkedWrite(endpointId, columnsOf(patch), check));
  }

  async function checkedWrite(endpointId: string, columns: object, check: EndpointCheck | undefined): Promise<Endpoint> {
    if (check === undefined) return write(db, endpointId, columns);
    return db.transaction(async (tx) => {
      const rows: ShownRow[] = await tx('endpoints').where(present(endpointId)).forUpdate().select(shownColumns);
      check(found(rows[0]));
      return write(tx, endpointId, columns);
    });
  }

  async function write(connection: Database, endpointId: string, columns: object): Promise<Endpoint> {
    const rows: ShownRow[] = await connection('endpoints')
      .where(present(endpointId))
      .update({ ...columns, updated_at: now() })
      .returning(shownColumns);
    return found(rows[0]);
  }

  /**
   * Its deliveries stay to be read, waiting ones are not sent any more; its secrets are erased and its address is free again.
   * @throws BrokerError `not_found`
   */
  async function remove(endpointId: string, check?: EndpointCheck): Promise<void> {
    const gone = { enabled: false, disabled_reason: 'request', sealed_secrets: '[]', deleted_at: now() };
    await checkedWrite(endpointId, gone, check);
  }

  /**
   * Brings the endpoint of this address in line with a declarative file. Another secret than the present one rotates: both sign
   * for a day.
   * @returns a secret only if Rollcall made it just now
   */
  async function apply(input: EndpointInput): Promise<{ endpoint: Endpoint; secret: string | null }> {
    return refuseTakenUrl(() =>
      db.transaction(async (tx) => {
        const rows: EndpointRow[] = await tx('endpoints').where({ url: input.url, deleted_at: null }).forUpdate();
        const known = rows[0];
        if (!known) {
          const secret = input.secret ?? generateSecret();
          return { endpoint: await insert(tx, input, secret), secret: input.secret === undefined ? secret : null };
        }
        const secrets = input.secret === undefined ? known.sealed_secrets : rotated(known, input.secret);
        const columns = { ...columnsOf(input), sealed_secrets: JSON.stringify(secrets) };
        return { endpoint: await write(tx, known.endpoint_id, columns), secret: null };
      }),
    );
  }

  function rotated({ endpoint_id, sealed_secrets }: EndpointRow, secret: string): readonly SealedSecret[] {
    const inForce = sealed_secrets.filter((each) => isInForce(each, now()));
    const newest = inForce[0];
    if (newest && sealedBox.open(newest.sealed, secretContext(endpoint_id)) === secret) return sealed_secrets;
    const until = new Date(now().getTime() + secretOverlapMilliseconds).toISOString();
    return [seal(endpoint_id, secret), ...inForce.map(({ sealed, expires_at }) => ({ sealed, expires_at: expires_at ?? until }))];
  }

  function seal(endpointId: string, secret: string): SealedSecret {
    return { sealed: sealedBox.seal(secret, secretContext(endpointId)), expires_at: null };
  }

  return { create, list, get, update, remove, apply };
}

export type EndpointStore = ReturnType<typeof createEndpointStore>;

/** Reads where to send, with the keys that sign now: for the worker only. */
export function createTargetReader({
  sealedBox,
  now,
}: {
  readonly sealedBox: Pick<SecretBox, 'open'>;
  readonly now: () => Date;
}) {
  return async function readTargets(db: Database, endpointIds: readonly string[]): Promise<Map<string, DeliveryTarget>> {
    const rows: Pick<EndpointRow, 'endpoint_id' | 'url' | 'sealed_secrets'>[] = await db('endpoints')
      .whereIn('endpoint_id', [...endpointIds])
      .select('endpoint_id', 'url', 'sealed_secrets');
    return new Map(rows.map((row) => [row.endpoint_id, { url: row.url, keys: openKeys(row) }]));
  };

  function openKeys({
    endpoint_id,
    sealed_secrets,
  }: Pick<EndpointRow, 'endpoint_id' | 'sealed_secrets'>): DeliveryTarget['keys'] {
    try {
      return sealed_secrets
        .filter((each) => isInForce(each, now()))
        .map(({ sealed }) => secretKey(sealedBox.open(sealed, secretContext(endpoint_id))))
        .filter((key) => key !== null);
    } catch {
      // Sealed under a key that is not configured any more: one endpoint's trouble, which each attempt records.
      return null;
    }
  }
}

/** The receiver answered 410: it is not called again until somebody enables the endpoint. */
export async function disableGoneEndpoint(db: Database, endpointId: string, now: Date): Promise<void> {
  await db('endpoints')
    .where({ endpoint_id: endpointId, enabled: true })
    .update({ enabled: false, disabled_reason: 'gone', updated_at: now });
}

function present(endpointId: string) {
  return { endpoint_id: endpointId, deleted_at: null };
}

/** Binds a sealed secret to its endpoint: copied to another row it does not open. */
function secretContext(endpointId: string): string {
  return `endpoint/${endpointId}/secret`;
}

function isInForce({ expires_at }: SealedSecret, now: Date): boolean {
  return expires_at === null || new Date(expires_at) > now;
}

function found(row: ShownRow | undefined): Endpoint {
  if (row === undefined) throw new BrokerError('not_found', 'there is no endpoint with this id');
  return toEndpoint(row);
}

const uniqueViolation = '23505';

async function refuseTakenUrl<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if ((error as { code?: unknown }).code !== uniqueViolation) throw error;
    throw new BrokerError('conflict', 'an endpoint with this address exists', { cause: error, reason: 'endpoint_url_taken' });
  }
}
