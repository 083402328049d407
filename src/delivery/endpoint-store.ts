import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import type { EndpointInput, EndpointPatch, SecretRotation } from './endpoint-input.ts';
import { columnsOf, type Endpoint, type EndpointRow, type ShownRow, shownColumns, toEndpoint } from './endpoint-rows.ts';
import { isNewest, rotated, type SecretBox, sealedHeaders, sealSecret, secretOverlapSeconds } from './endpoint-secrets.ts';
import { lockFanOut } from './fan-out.ts';
import { resetHealth } from './health-reset.ts';
import { generateSecret } from './signature.ts';
import { addSnapshotTask, restartSnapshots } from './snapshot-request.ts';

export type EndpointCheck = (endpoint: Endpoint) => void;

export function createEndpointStore(deps: { readonly db: Database; readonly sealedBox: SecretBox; readonly now: () => Date }) {
  const { db, sealedBox, now } = deps;

  /**
   * The new endpoint gets the events that commit from now on.
   * @param options.snapshot the endpoint is also told of every member there is; their later events follow in order
   * @returns the secret, this once
   * @throws BrokerError `conflict` when an endpoint with this address exists
   */
  async function create(
    input: EndpointInput,
    { snapshot = false }: { readonly snapshot?: boolean } = {},
  ): Promise<{ endpoint: Endpoint; secret: string }> {
    const secret = input.secret ?? generateSecret();
    const endpoint = await refuseTakenUrl(() =>
      db.transaction(async (tx) => {
        const made = await insert(tx, input, secret);
        if (snapshot) await addSnapshotTask(tx, { endpointId: made.endpointId, includeRemoved: false, now: now() });
        return made;
      }),
    );
    return { endpoint, secret };
  }

  async function insert(tx: Transaction, input: EndpointInput, secret: string): Promise<Endpoint> {
    const endpointId = uniqueId(now());
    await lockFanOut(tx);
    const rows: ShownRow[] = await tx('endpoints')
      .insert({
        endpoint_id: endpointId,
        ...columnsOf(input),
        headers: JSON.stringify(sealedHeaders({ endpointId, headers: {} }, input.headers, { sealedBox, keepOthers: false })),
        sealed_secrets: JSON.stringify([sealSecret(sealedBox, endpointId, secret)]),
        // Positions given out until now. Those of transactions still open are told by the snapshot, which Postgres takes as it inserts.
        since_position: tx.raw('(SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM event_positions)'),
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
   * While an endpoint is disabled its waiting deliveries rest and no new ones are made for it; enabled again, it goes on with them at
   * once, as if it had never failed.
   * @param patch headers that are not named stay, null takes one away
   * @param check gets the endpoint as it is, locked; throws what forbids the change
   * @throws BrokerError `not_found`, `conflict`, `validation_failed` for too many headers
   */
  async function update(endpointId: string, patch: EndpointPatch, check?: EndpointCheck): Promise<Endpoint> {
    const { headers, ...rest } = patch;
    return change(endpointId, check, async (tx, known) => {
      const merged = headers && sealedHeaders({ endpointId, headers: known.headers }, headers, { sealedBox, keepOthers: true });
      if (rest.enabled === true) await beginAnew(tx, known);
      return { ...columnsOf(rest), ...(merged && { headers: JSON.stringify(merged) }) };
    });
  }

  /**
   * Another secret signs from now on. The ones before sign beside it for `overlapSeconds`, or for as long as was settled before if that
   * is shorter: with 0 they end at once.
   * @returns the secret, this once
   * @throws BrokerError `not_found`
   */
  async function rotateSecret(
    endpointId: string,
    { secret = generateSecret(), overlapSeconds }: SecretRotation,
    check?: EndpointCheck,
  ): Promise<{ secret: string; oldSecretsUntil: Date | null }> {
    let last: string | null = null;
    await change(endpointId, check, async (_tx, { sealed_secrets: secrets }) => {
      const after = rotated({ endpointId, secrets }, secret, { sealedBox, overlapSeconds, now: now() });
      last = after.reduce(
        (latest: string | null, { expires_at: at }) => (at !== null && at > (latest ?? '') ? at : latest),
        null,
      );
      return { sealed_secrets: JSON.stringify(after) };
    });
    return { secret, oldSecretsUntil: last === null ? null : new Date(last) };
  }

  /** Locks the endpoint, then writes the columns that `decide` returns. */
  async function change(
    endpointId: string,
    check: EndpointCheck | undefined,
    decide: (tx: Transaction, known: EndpointRow) => Promise<object>,
  ): Promise<Endpoint> {
    return refuseTakenUrl(() =>
      db.transaction(async (tx) => {
        const rows: EndpointRow[] = await tx('endpoints').where(present(endpointId)).forNoKeyUpdate();
        const [known] = rows;
        const endpoint = found(known);
        check?.(endpoint);
        return write(tx, endpointId, await decide(tx, known as EndpointRow));
      }),
    );
  }

  async function write(tx: Transaction, endpointId: string, columns: object): Promise<Endpoint> {
    const rows: ShownRow[] = await tx('endpoints')
      .where(present(endpointId))
      .update({ ...columns, updated_at: now() })
      .returning(shownColumns);
    return found(rows[0]);
  }

  /** What failed before does not count, and what it missed of a snapshot while it was disabled is told again. */
  async function beginAnew(tx: Transaction, { endpoint_id: endpointId, enabled }: EndpointRow): Promise<void> {
    await resetHealth(tx, endpointId);
    if (!enabled) await restartSnapshots(tx, endpointId);
  }

  /**
   * Its deliveries stay to be read, waiting ones are not sent any more; its secrets are erased and its address is free again.
   * @throws BrokerError `not_found`
   */
  async function remove(endpointId: string, check?: EndpointCheck): Promise<void> {
    const gone = { enabled: false, disabled_reason: 'request', sealed_secrets: '[]', headers: '{}', deleted_at: now() };
    await change(endpointId, check, async () => gone);
  }

  /**
   * Brings the endpoint of this address in line with a declarative file. Another secret than the present one rotates: both sign
   * for a day.
   * @returns a secret only if Rollcall made it just now
   */
  async function apply(input: EndpointInput): Promise<{ endpoint: Endpoint; secret: string | null }> {
    return refuseTakenUrl(() =>
      db.transaction(async (tx) => {
        const rows: EndpointRow[] = await tx('endpoints').where({ url: input.url, deleted_at: null }).forNoKeyUpdate();
        const known = rows[0];
        if (!known) {
          const secret = input.secret ?? generateSecret();
          return { endpoint: await insert(tx, input, secret), secret: input.secret === undefined ? secret : null };
        }
        if (input.enabled && !known.enabled) await beginAnew(tx, known);
        const { endpoint_id: endpointId, headers } = known;
        const columns = {
          ...columnsOf(input),
          headers: JSON.stringify(sealedHeaders({ endpointId, headers }, input.headers, { sealedBox, keepOthers: false })),
          sealed_secrets: JSON.stringify(declaredSecrets(known, input.secret)),
        };
        return { endpoint: await write(tx, endpointId, columns), secret: null };
      }),
    );
  }

  function declaredSecrets(known: EndpointRow, secret: string | undefined): EndpointRow['sealed_secrets'] {
    const of = { endpointId: known.endpoint_id, secrets: known.sealed_secrets };
    if (secret === undefined || isNewest(of, secret, { sealedBox, now: now() })) return known.sealed_secrets;
    return rotated(of, secret, { sealedBox, overlapSeconds: secretOverlapSeconds, now: now() });
  }

  return { create, list, get, update, rotateSecret, remove, apply };
}

export type EndpointStore = ReturnType<typeof createEndpointStore>;

function present(endpointId: string) {
  return { endpoint_id: endpointId, deleted_at: null };
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
