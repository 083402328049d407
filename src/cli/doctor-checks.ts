import { createTargetReader } from '../delivery/endpoint-targets.ts';
import { BrokerError } from '../domain/broker-error.ts';
import type { OidcSettings } from '../domain/connection.ts';
import type { Log } from '../infra/log.ts';
import { connectRedis, waitForRedis } from '../infra/redis.ts';
import type { StoredConnection } from '../login/connection-rows.ts';
import { connectionSecretContext } from '../login/connection-store.ts';
import { discoverIdp, fetchKeys } from '../oidc/idp.ts';
import { parseIdpMetadata } from '../saml/metadata.ts';
import type { Settings } from '../settings/schema.ts';
import type { Stores } from '../stores.ts';
import { counted, ok, problem, type Verdict } from './doctor-findings.ts';
import {
  type EndpointState,
  judgeClockDifference,
  judgeLicence,
  judgeRedis,
  judgeSamlMetadata,
  judgeSealing,
  type OpenedSecrets,
} from './doctor-judgement.ts';

/** One trip, so that what lies between our two looks at the clock is the statement alone. */
export async function lookAtDatabaseClock({ db }: Pick<Stores, 'db'>, now: () => Date): Promise<Verdict> {
  // The first statement of a connection pays for its making.
  await db.raw('SELECT 1');
  const before = now().getTime();
  const { rows } = await db.raw<{ rows: { now: Date }[] }>('SELECT clock_timestamp() AS now');
  const after = now().getTime();
  return judgeClockDifference((rows[0]?.now.getTime() ?? Number.NaN) - (before + after) / 2);
}

export async function lookAtRedis(url: string, settings: Settings['redis'], log: Log): Promise<Verdict> {
  const redis = connectRedis({ ...settings, url, log });
  try {
    if (!(await waitForRedis(redis, { waitSeconds: 5 }))) {
      return problem('it cannot be reached', 'Check REDIS_URL, and that the server runs.');
    }
    return judgeRedis(await redis.info('server'));
  } finally {
    redis.disconnect();
  }
}

export async function lookAtLicence({ licences }: Pick<Stores, 'licences'>, now: Date): Promise<Verdict> {
  await licences.refresh({ announce: false });
  return judgeLicence(licences.view(), await licences.countUsers(), now);
}

/** Opens whatever is sealed, and keeps nothing of it. */
export async function lookAtSealedSecrets(stores: Stores, now: () => Date): Promise<Verdict> {
  const { db, sealedBox, instanceKeys, clients } = stores;
  let opened = 0;
  const lost: OpenedSecrets['lost'][number][] = [];
  const open = async (owner: string, attempt: () => unknown) => {
    try {
      await attempt();
      opened += 1;
    } catch (error) {
      // Those that are missing are made at the next start.
      if (!(error instanceof BrokerError)) throw error;
      if (error.reason !== 'instance_keys_missing') lost.push({ owner, why: error.message });
    }
  };
  await open("the instance's keys", () => instanceKeys.load());
  for (const { connectionId, displayName, protocol } of await allConnections(stores)) {
    const sealed = protocol.type === 'oidc' ? protocol.sealedClientSecret : null;
    if (sealed === null) continue;
    await open(`connection ${displayName}`, () => sealedBox.open(sealed, connectionSecretContext(connectionId)));
  }
  for (const { clientId } of await clients.list()) await open(`client ${clientId}`, () => clients.read(clientId));
  const endpoints = await db('endpoints').whereNull('deleted_at').pluck<string[]>('endpoint_id');
  for (const [endpointId, { url, keys }] of await createTargetReader({ sealedBox, now })(db, endpoints)) {
    await open(`endpoint ${url}`, () => {
      if (keys === null) throw new BrokerError('internal', `the signing secret of endpoint ${endpointId} does not open`);
    });
  }
  return judgeSealing({ opened, lost });
}

export async function allConnections({ connections }: Pick<Stores, 'connections'>): Promise<readonly StoredConnection[]> {
  const limit = 100;
  const all: StoredConnection[] = [];
  for (;;) {
    const page = await connections.list({ after: all.at(-1)?.connectionId ?? null, limit });
    all.push(...page);
    if (page.length < limit) return all;
  }
}

export interface ConnectionDeps {
  readonly stores: Pick<Stores, 'outbound' | 'sealedBox'>;
  readonly settings: Settings;
  readonly now: () => Date;
}

export async function lookAtConnection(connection: StoredConnection, deps: ConnectionDeps): Promise<Verdict> {
  const { protocol } = connection;
  switch (protocol.type) {
    case 'saml': {
      const now = deps.now();
      return judgeSamlMetadata(
        parseIdpMetadata(protocol.metadataXml, { maxBytes: deps.settings.saml.maxMetadataBytes, now }),
        now,
      );
    }
    case 'oidc':
      return lookAtDiscovery(connection, protocol, deps);
    default:
      return protocol satisfies never;
  }
}

/** As a login does it, up to the point where a person is needed. */
async function lookAtDiscovery(
  { connectionId, version }: StoredConnection,
  settings: OidcSettings,
  { stores: { outbound, sealedBox }, settings: { outbound: limits }, now }: ConnectionDeps,
): Promise<Verdict> {
  const idp = await discoverIdp(
    { connectionId, version, settings },
    {
      outbound,
      openSecret: (sealed, id) => sealedBox.open(sealed, connectionSecretContext(id)),
      now,
      metadataRefreshSeconds: limits.metadataRefreshSeconds,
      jwksCooldownSeconds: limits.jwksCooldownSeconds,
      retrySeconds: 1,
    },
  );
  const keys = await fetchKeys(outbound, String(idp.metadata.jwks_uri));
  if (keys.length > 0) return ok(`discovery of ${idp.issuer} with ${counted(keys.length, 'key')}`);
  return problem("the identity provider's JWKS holds no key", 'Have the identity provider publish its signing keys.');
}

export interface StoredEndpointState extends EndpointState {
  readonly url: string;
}

/** Indexes: endpoints_by_url, deliveries_waiting. */
export async function readEndpointStates({ db }: Pick<Stores, 'db'>): Promise<readonly StoredEndpointState[]> {
  const { rows } = await db.raw<{ rows: EndpointRow[] }>(`
    SELECT e.url, e.enabled, e.disabled_reason, w.waiting, w.oldest
    FROM endpoints e CROSS JOIN LATERAL (
      SELECT count(*) AS waiting, min(d.created_at) AS oldest
      FROM deliveries d WHERE d.endpoint_id = e.endpoint_id AND d.status = 'waiting') w
    WHERE e.deleted_at IS NULL ORDER BY e.url`);
  return rows.map(({ url, enabled, disabled_reason, waiting, oldest }) => ({
    url,
    enabled,
    disabledReason: disabled_reason,
    waiting: Number(waiting),
    oldestWaiting: oldest,
  }));
}

interface EndpointRow {
  readonly url: string;
  readonly enabled: boolean;
  readonly disabled_reason: 'request' | 'gone' | null;
  readonly waiting: number;
  readonly oldest: Date | null;
}
