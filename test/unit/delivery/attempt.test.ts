import { describe, expect, it } from 'vitest';
import { createAttempt, type WebhookSender } from '../../../src/delivery/attempt.ts';
import { generateSecret, secretKey, signatureHeader } from '../../../src/delivery/signature.ts';
import { BrokerError } from '../../../src/domain/broker-error.ts';

const now = () => new Date('2026-03-01T12:00:00.900Z');
const key = secretKey(generateSecret()) as NonNullable<ReturnType<typeof secretKey>>;
const target = { url: 'https://app.example.com/hook', keys: [key] };
const event = { eventId: '018f4a3c-1b2d-7abc-8def-0123456789ab', body: '{"type":"user.created"}' };

type Sent = { url: string } & Parameters<WebhookSender['request']>[1];

/** An outside world that answers with a status or throws, and keeps what it was sent. */
function attemptWith(answer: number | Error) {
  const sent: Sent[] = [];
  const outbound: WebhookSender = {
    async request(url, options) {
      sent.push({ url, ...options });
      if (answer instanceof Error) throw answer;
      return { status: answer };
    },
  };
  return { attempt: createAttempt({ outbound, now, timeoutSeconds: 15 }), sent };
}

describe('an attempt', () => {
  it('sends the stored text with the headers of Standard Webhooks, signed for this moment', async () => {
    const { attempt, sent } = attemptWith(200);
    await attempt(target, event);
    const id = 'evt_018f4a3c1b2d7abc8def0123456789ab';
    const timestampSeconds = Date.parse('2026-03-01T12:00:00Z') / 1_000;
    expect(sent).toEqual([
      {
        url: 'https://app.example.com/hook',
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'Rollcall-Webhooks/1',
          'webhook-id': id,
          'webhook-timestamp': String(timestampSeconds),
          'webhook-signature': signatureHeader({ id, timestampSeconds, body: event.body }, [key]),
        },
        body: event.body,
        timeoutSeconds: 15,
        maxResponseBytes: 65_536,
        followRedirects: false,
      },
    ]);
  });

  it.each([200, 201, 204, 299])('is delivered by status %i', async (status) => {
    expect(await attemptWith(status).attempt(target, event)).toEqual({ kind: 'delivered', status });
  });

  it.each([
    [301, 'redirect', false],
    [307, 'redirect', false],
    [400, 'http_status', false],
    [410, 'gone', true],
    [500, 'http_status', false],
  ])('fails by status %i as %s', async (status, error, gone) => {
    expect(await attemptWith(status).attempt(target, event)).toEqual({ kind: 'failed', status, error, gone });
  });

  it.each([
    ['timeout', new BrokerError('upstream_unavailable', 'no answer', { reason: 'timeout' })],
    ['blocked_address', new BrokerError('upstream_unavailable', 'loopback', { reason: 'blocked_address' })],
    ['upstream_unavailable', new BrokerError('upstream_unavailable', 'no reason')],
    ['internal', new TypeError('a mistake with secret words')],
  ])('fails as %s when no answer came, without the words of the error', async (error, thrown) => {
    expect(await attemptWith(thrown).attempt(target, event)).toEqual({ kind: 'failed', status: null, error, gone: false });
  });

  it.each([[null], [[]]])('fails without a request when there is no secret to sign with', async (keys) => {
    const { attempt, sent } = attemptWith(200);
    const result = await attempt({ ...target, keys }, event);
    expect(result).toEqual({ kind: 'failed', status: null, error: 'secret_unavailable', gone: false });
    expect(sent).toEqual([]);
  });
});
