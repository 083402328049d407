import { generateKeyPairSync, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createAttempt, type WebhookSender } from '../../../src/delivery/attempt.ts';
import { generateSecret, secretKey, signatureHeader } from '../../../src/delivery/signature.ts';
import { BrokerError } from '../../../src/domain/broker-error.ts';

const now = () => new Date('2026-03-01T12:00:00.900Z');
const key = secretKey(generateSecret()) as NonNullable<ReturnType<typeof secretKey>>;
const target = { url: 'https://app.example.com/hook', keys: [key], headers: {}, rateLimitPerSecond: null, maxConcurrency: null };
const event = { eventId: '018f4a3c-1b2d-7abc-8def-0123456789ab', body: '{"type":"user.created"}' };

type Sent = { url: string } & Parameters<WebhookSender['request']>[1];

/** An outside world that answers with a status or throws, and keeps what it was sent. */
function attemptWith(
  answer: number | Error,
  { headers = {}, body = '' }: { headers?: Record<string, string>; body?: string | Buffer } = {},
) {
  const sent: Sent[] = [];
  const outbound: WebhookSender = {
    async request(url, options) {
      sent.push({ url, ...options });
      if (answer instanceof Error) throw answer;
      return { status: answer, headers, body: Buffer.from(body) };
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
    expect(await attemptWith(status).attempt(target, event)).toMatchObject({ kind: 'delivered', status, answer: null });
  });

  it.each([
    [301, 'redirect', false],
    [307, 'redirect', false],
    [400, 'http_status', false],
    [410, 'gone', true],
    [500, 'http_status', false],
  ])('fails by status %i as %s', async (status, error, gone) => {
    expect(await attemptWith(status).attempt(target, event)).toMatchObject({ kind: 'failed', status, error, gone });
  });

  it.each([
    ['timeout', new BrokerError('upstream_unavailable', 'no answer', { reason: 'timeout' })],
    ['blocked_address', new BrokerError('upstream_unavailable', 'loopback', { reason: 'blocked_address' })],
    ['upstream_unavailable', new BrokerError('upstream_unavailable', 'no reason')],
    ['internal', new TypeError('a mistake with secret words')],
  ])('fails as %s when no answer came, without the words of the error', async (error, thrown) => {
    expect(await attemptWith(thrown).attempt(target, event)).toMatchObject({ kind: 'failed', status: null, error, gone: false });
  });

  it.each([[null], [[]]])('fails without a request when there is no secret to sign with', async (keys) => {
    const { attempt, sent } = attemptWith(200);
    const result = await attempt({ ...target, keys }, event);
    expect(result).toMatchObject({ kind: 'failed', status: null, error: 'secret_unavailable', gone: false });
    expect(sent).toEqual([]);
  });

  it('fails without a request when the event is not there any more', async () => {
    const { attempt, sent } = attemptWith(200);
    expect(await attempt(target, { ...event, body: null })).toMatchObject({ kind: 'failed', error: 'event_missing' });
    expect(sent).toEqual([]);
  });

  it('signs with the secret and with an Ed25519 key', async () => {
    const { attempt, sent } = attemptWith(200);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    await attempt({ ...target, keys: [key, privateKey] }, event);
    const headers = sent[0]?.headers ?? {};
    const [symmetric, asymmetric] = headers['webhook-signature']?.split(' ') ?? [];
    const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${event.body}`);
    expect(symmetric).toMatch(/^v1,/);
    expect(verify(null, content, publicKey, Buffer.from(asymmetric?.replace('v1a,', '') ?? '', 'base64'))).toBe(true);
  });

  it('carries the headers of the endpoint, and none that would change what Rollcall or the connection says', async () => {
    const { attempt, sent } = attemptWith(200);
    const hostile = {
      'Content-Type': 'text/html',
      'user-agent': 'x',
      'Webhook-Id': 'x',
      'webhook-signature': 'x',
      Host: 'x',
      'content-length': '1',
      'transfer-encoding': 'chunked',
      connection: 'close',
    };
    await attempt({ ...target, headers: { ...hostile, Authorization: 'Bearer token-of-the-app', 'x-tenant': 'a' } }, event);
    const bare = attemptWith(200);
    await bare.attempt(target, event);
    expect(sent[0]?.headers).toEqual({ ...bare.sent[0]?.headers, authorization: 'Bearer token-of-the-app', 'x-tenant': 'a' });
  });

  it.each([
    [429, '7', 7],
    [503, 'Sun, 01 Mar 2026 12:01:00 GMT', 59.1],
    [500, '120', 120],
    [503, 'soon', null],
  ])('tells of the pause that the receiver asked for: %i, Retry-After %s', async (status, asked, seconds) => {
    const { attempt } = attemptWith(status, { headers: { 'retry-after': asked } });
    expect(await attempt(target, event)).toMatchObject({ kind: 'failed', retryAfterSeconds: seconds });
  });

  it('keeps the beginning of the answer, without what was sent as a secret', async () => {
    const echo = attemptWith(500, { body: 'no: Bearer token-of-the-app, {"auth":"token-of-the-app"}' });
    const result = await echo.attempt({ ...target, headers: { authorization: 'Bearer token-of-the-app' } }, event);
    expect(result.answer).toBe('no: [redacted], {"auth":"[redacted]"}');
    const signed = attemptWith(200);
    await signed.attempt(target, event);
    const signature = signed.sent[0]?.headers['webhook-signature'] ?? '';
    expect((await attemptWith(400, { body: `bad ${signature}` }).attempt(target, event)).answer).toBe('bad [redacted]');
  });
});
