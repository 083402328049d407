import type { KeyObject } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';
import { webhookId } from '../outbox/append.ts';
import { signatureHeader } from './signature.ts';

/** Where a delivery goes. `keys` null: the endpoint's secrets cannot be opened. */
export interface DeliveryTarget {
  readonly url: string;
  readonly keys: readonly KeyObject[] | null;
}

export type AttemptResult =
  | { readonly kind: 'delivered'; readonly status: number }
  /** `error`: a stable word, never the receiver's. `gone`: the receiver wants no more events (410). */
  | { readonly kind: 'failed'; readonly status: number | null; readonly error: string; readonly gone: boolean };

/** What an attempt needs of the guarded client (law 8). */
export interface WebhookSender {
  request(
    url: string,
    options: {
      method: 'POST';
      headers: Record<string, string>;
      body: string;
      timeoutSeconds: number;
      maxResponseBytes: number;
      followRedirects: false;
    },
  ): Promise<{ readonly status: number }>;
}

/** Answers carry nothing that is used: enough for an error text, too little to be a burden. */
const maxResponseBytes = 64 * 1024;

/**
 * Sends one event once. Only a 2xx within the time limit is success; a redirect is a failure, because the endpoint named another
 * address. Never throws: what goes wrong is the result.
 */
export function createAttempt(deps: {
  readonly outbound: WebhookSender;
  readonly now: () => Date;
  readonly timeoutSeconds: number;
}) {
  return async function attempt(
    target: DeliveryTarget,
    event: { readonly eventId: string; readonly body: string },
  ): Promise<AttemptResult> {
    if (target.keys === null || target.keys.length === 0) return failed(null, 'secret_unavailable');
    const id = webhookId(event.eventId);
    const timestampSeconds = Math.floor(deps.now().getTime() / 1_000);
    try {
      const { status } = await deps.outbound.request(target.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'Rollcall-Webhooks/1',
          'webhook-id': id,
          'webhook-timestamp': String(timestampSeconds),
          'webhook-signature': signatureHeader({ id, timestampSeconds, body: event.body }, target.keys),
        },
        body: event.body,
        timeoutSeconds: deps.timeoutSeconds,
        maxResponseBytes,
        followRedirects: false,
      });
      return resultOf(status);
    } catch (error) {
      return failed(null, error instanceof BrokerError ? (error.reason ?? error.code) : 'internal');
    }
  };
}

function resultOf(status: number): AttemptResult {
  if (status >= 200 && status < 300) return { kind: 'delivered', status };
  if (status >= 300 && status < 400) return failed(status, 'redirect');
  return failed(status, status === 410 ? 'gone' : 'http_status');
}

function failed(status: number | null, error: string): AttemptResult {
  return { kind: 'failed', status, error, gone: error === 'gone' };
}
