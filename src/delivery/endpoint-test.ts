import type { EndpointTestEvent } from '../domain/webhook-event.ts';
import type { Database } from '../infra/postgres.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { appendEvents, webhookId } from '../outbox/append.ts';
import { aboutEndpoint, endpointRef } from './endpoint-disabling.ts';
import { lockEnabledEndpoint } from './snapshot-request.ts';

export type SendTest = (endpointId: string) => Promise<{ readonly eventId: string }>;

/**
 * Makes an `endpoint.test` event for the endpoint alone. It takes the way of every delivery: signature, retries, order, attempts log.
 * Each has a lane of its own: a test that fails holds back no later one.
 * @returns its `webhook-id`
 * @throws BrokerError `not_found`; `conflict` while the endpoint is disabled
 */
export function createSendTest({ db, now }: { readonly db: Database; readonly now: () => Date }): SendTest {
  return async (endpointId) =>
    db.transaction(async (tx) => {
      const endpoint = await lockEnabledEndpoint(tx, endpointId);
      const about = aboutEndpoint(endpointId, now());
      const event: EndpointTestEvent = {
        ...about,
        type: 'endpoint.test',
        orderKey: `${about.orderKey}:test:${uniqueId(now())}`,
        data: { endpoint: endpointRef(endpoint) },
      };
      const [eventId = ''] = await appendEvents(tx, [event], { now: now(), onlyEndpointId: endpointId });
      return { eventId: webhookId(eventId) };
    });
}
