import type { EndpointDisabledEvent, EndpointTestEvent } from '../domain/webhook-event.ts';
import type { Database } from '../infra/postgres.ts';
import { appendEvents } from '../outbox/append.ts';

/**
 * Gives an endpoint up: it is not called again until somebody enables it. The other endpoints are told in the same transaction, by
 * `endpoint.disabled`.
 * @returns false: it was disabled or removed before, and nobody is told
 */
export async function disableEndpoint(
  db: Database,
  { endpointId, reason, now }: { readonly endpointId: string; readonly reason: 'gone' | 'failing'; readonly now: Date },
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const rows: EndpointNamed[] = await tx('endpoints')
      .where({ endpoint_id: endpointId, enabled: true, deleted_at: null })
      .update({ enabled: false, disabled_reason: reason, updated_at: now })
      .returning(['endpoint_id', 'url', 'description']);
    const endpoint = rows[0];
    if (endpoint === undefined) return false;
    const health = await tx('endpoint_health')
      .where({ endpoint_id: endpointId })
      .first<HealthRow | undefined>('failing_since', 'last_status', 'last_error');
    const event: EndpointDisabledEvent = {
      ...aboutEndpoint(endpointId, now),
      type: 'endpoint.disabled',
      data: {
        endpoint: endpointRef(endpoint),
        reason,
        failing_since: health?.failing_since?.toISOString() ?? null,
        // The answer that says so may not be recorded yet.
        last_status: reason === 'gone' ? 410 : (health?.last_status ?? null),
        last_error: reason === 'gone' ? 'gone' : (health?.last_error ?? null),
      },
    };
    await appendEvents(tx, [event], { now });
    return true;
  });
}

export interface EndpointNamed {
  readonly endpoint_id: string;
  readonly url: string;
  readonly description: string;
}

interface HealthRow {
  readonly failing_since: Date | null;
  readonly last_status: number | null;
  readonly last_error: string | null;
}

/** What somebody else may know of an endpoint: its query may hold a secret of the receiver's. */
export function endpointRef({ endpoint_id: id, url, description }: EndpointNamed): EndpointTestEvent['data']['endpoint'] {
  const shown = new URL(url);
  shown.search = '';
  shown.hash = '';
  return { id, url: shown.href, description };
}

/** An event that is about an endpoint and no member. */
export function aboutEndpoint(endpointId: string, now: Date) {
  return { workspaceId: null, userId: null, orderKey: `endpoint:${endpointId}`, occurredAt: now };
}
