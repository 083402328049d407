import type { KeyObject } from 'node:crypto';
import type { Database } from '../infra/postgres.ts';
import type { DeliveryTarget } from './attempt.ts';
import type { EndpointRow } from './endpoint-rows.ts';
import { headerContext, isInForce, type SealedSecret, type SecretBox, secretContext } from './endpoint-secrets.ts';
import { secretKey } from './signature.ts';

type TargetRow = Pick<
  EndpointRow,
  'endpoint_id' | 'url' | 'sealed_secrets' | 'headers' | 'rate_limit_per_second' | 'max_concurrency'
>;

/**
 * Reads where to send, with the keys that sign now: for the worker only.
 * @param deps `webhookKeys`: the instance's private keys in force, newest first; they sign for every endpoint, after its own secrets
 */
export function createTargetReader(deps: {
  readonly sealedBox: Pick<SecretBox, 'open'>;
  readonly webhookKeys?: () => readonly KeyObject[];
  readonly now: () => Date;
}) {
  const { sealedBox, webhookKeys = () => [], now } = deps;

  return async function readTargets(db: Database, endpointIds: readonly string[]): Promise<Map<string, DeliveryTarget>> {
    const rows: TargetRow[] = await db('endpoints')
      .whereIn('endpoint_id', [...endpointIds])
      .select('endpoint_id', 'url', 'sealed_secrets', 'headers', 'rate_limit_per_second', 'max_concurrency');
    return new Map(rows.map((row) => [row.endpoint_id, toTarget(row)]));
  };

  function toTarget(row: TargetRow): DeliveryTarget {
    const { url, rate_limit_per_second: rateLimitPerSecond, max_concurrency: maxConcurrency } = row;
    const limits = { url, rateLimitPerSecond, maxConcurrency };
    try {
      return { ...limits, headers: openHeaders(row), keys: [...openSecrets(row), ...webhookKeys()] };
    } catch {
      // Sealed under a key that is not configured any more: one endpoint's trouble, which each attempt records.
      return { ...limits, headers: {}, keys: null };
    }
  }

  function openSecrets({ endpoint_id: endpointId, sealed_secrets: secrets }: TargetRow): KeyObject[] {
    return secrets
      .filter((each: SealedSecret) => isInForce(each, now()))
      .map(({ sealed }) => secretKey(sealedBox.open(sealed, secretContext(endpointId))))
      .filter((key) => key !== null);
  }

  function openHeaders({ endpoint_id: endpointId, headers }: TargetRow): Record<string, string> {
    return Object.fromEntries(
      Object.entries(headers).map(([name, sealed]) => [name, sealedBox.open(sealed, headerContext(endpointId, name))]),
    );
  }
}
