import type { KeyObject } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';
import { webhookId } from '../outbox/append.ts';
import { answerText } from './answer-text.ts';
import { retryAfterSeconds } from './schedule.ts';
import { signatureHeader } from './signature.ts';

/** Where a delivery goes. `keys` null: the endpoint's secrets cannot be opened. */
export interface DeliveryTarget {
  readonly url: string;
  readonly keys: readonly KeyObject[] | null;
  /** The endpoint's own header lines; values may be secrets. */
  readonly headers: Readonly<Record<string, string>>;
  readonly rateLimitPerSecond: number | null;
  readonly maxConcurrency: number | null;
}

export interface EventToSend {
  readonly eventId: string;
  /** Null: the event is not there any more. */
  readonly body: string | null;
}

export type AttemptResult = Verdict & {
  readonly durationMilliseconds: number;
  /** The beginning of the answer's body; null: there was none. */
  readonly answer: string | null;
};

type Verdict = Delivered | Failed;

interface Delivered {
  readonly kind: 'delivered';
  readonly status: number;
}

interface Failed {
  readonly kind: 'failed';
  /** Of HTTP; null: no complete answer. */
  readonly status: number | null;
  /** A stable word, never the receiver's. */
  readonly error: string;
  /** The receiver wants no more events (410). */
  readonly gone: boolean;
  /** What the receiver asked for. */
  readonly retryAfterSeconds: number | null;
}

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
  ): Promise<{ readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: Buffer }>;
}

/** Answers carry nothing that is used: enough for an error text, too little to be a burden. */
const maxResponseBytes = 64 * 1024;

/** What belongs to the connection or to us: a line that slipped into an endpoint's headers must not change what is sent. */
const reservedHeader =
  /^(?:webhook-.*|content-.*|proxy-.*|accept-encoding|user-agent|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect)$/;

/**
 * Sends one event once. Only a 2xx whose answer is complete within the time limit is success: one that breaks off tells of a
 * receiver that may not have kept the event, and a repeat does no harm. A redirect is a failure, because the endpoint named another
 * address. Never throws: what goes wrong is the result.
 */
export function createAttempt(deps: {
  readonly outbound: WebhookSender;
  readonly now: () => Date;
  readonly timeoutSeconds: number;
}) {
  const { outbound, now, timeoutSeconds } = deps;

  return async function attempt(target: DeliveryTarget, { eventId, body }: EventToSend): Promise<AttemptResult> {
    if (body === null) return unsent('event_missing');
    if (target.keys === null || target.keys.length === 0) return unsent('secret_unavailable');
    const id = webhookId(eventId);
    const timestampSeconds = Math.floor(now().getTime() / 1_000);
    const signature = signatureHeader({ id, timestampSeconds, body }, target.keys);
    const own = ownHeaders(target.headers);
    const startedAt = performance.now();
    const duration = () => Math.round(performance.now() - startedAt);
    try {
      const response = await outbound.request(target.url, {
        method: 'POST',
        headers: {
          ...own,
          'content-type': 'application/json',
          'user-agent': 'Rollcall-Webhooks/1',
          'webhook-id': id,
          'webhook-timestamp': String(timestampSeconds),
          'webhook-signature': signature,
        },
        body,
        timeoutSeconds,
        maxResponseBytes,
        followRedirects: false,
      });
      return {
        ...verdict(response.status, retryAfterSeconds(response.headers['retry-after'], now())),
        durationMilliseconds: duration(),
        answer: answerText(response.body, [...Object.values(own).flatMap(withWords), ...signature.split(' ')]),
      };
    } catch (error) {
      const reason = error instanceof BrokerError ? (error.reason ?? error.code) : 'internal';
      return { ...failed(null, reason), durationMilliseconds: duration(), answer: null };
    }
  };
}

function ownHeaders(headers: DeliveryTarget['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => !reservedHeader.test(name)),
  );
}

/** `Bearer …` may come back without its first word. */
function withWords(value: string): string[] {
  return [value, ...value.split(' ').filter((word) => word.length >= 8)];
}

function verdict(status: number, retryAfter: number | null): Verdict {
  if (status >= 200 && status < 300) return { kind: 'delivered', status };
  if (status >= 300 && status < 400) return failed(status, 'redirect', retryAfter);
  return failed(status, status === 410 ? 'gone' : 'http_status', retryAfter);
}

function failed(status: number | null, error: string, retryAfter: number | null = null): Failed {
  return { kind: 'failed', status, error, gone: error === 'gone', retryAfterSeconds: retryAfter };
}

function unsent(error: string): AttemptResult {
  return { ...failed(null, error), durationMilliseconds: 0, answer: null };
}
