import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { generateSecret, secretKey, signatureHeader } from '../../../src/delivery/signature.ts';

const body = JSON.stringify({ type: 'user.created', data: { name: 'Ada — "Åse" \u2028 😀' } });

function signed(keys: readonly KeyObject[], text = body) {
  const timestampSeconds = Math.floor(Date.now() / 1_000);
  const id = 'evt_018f4a3c1b2d7abc8def0123456789ab';
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSeconds),
    'webhook-signature': signatureHeader({ id, timestampSeconds, body: text }, keys),
  };
}

function keyOf(secret: string): KeyObject {
  return secretKey(secret) as KeyObject;
}

describe('the webhook signature', () => {
  it('equals the example of the Standard Webhooks specification', () => {
    const key = keyOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    const content = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestampSeconds: 1614265330, body: '{"test": 2432232314}' };
    expect(signatureHeader(content, [key])).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('is accepted by the standardwebhooks package, byte for byte of the body', () => {
    const secret = generateSecret();
    expect(new Webhook(secret).verify(body, signed([keyOf(secret)]))).toEqual(JSON.parse(body));
  });

  it('is refused by it for another body, another secret or another id', () => {
    const secret = generateSecret();
    const headers = signed([keyOf(secret)]);
    expect(() => new Webhook(secret).verify(`${body} `, headers)).toThrow();
    expect(() => new Webhook(generateSecret()).verify(body, headers)).toThrow();
    expect(() => new Webhook(secret).verify(body, { ...headers, 'webhook-id': 'evt_other' })).toThrow();
  });

  it('is given once for each secret, so that both verify during a rotation', () => {
    const [newest, oldest] = [generateSecret(), generateSecret()];
    const headers = signed([keyOf(newest), keyOf(oldest)]);
    expect(headers['webhook-signature'].split(' ')).toHaveLength(2);
    expect(new Webhook(newest).verify(body, headers)).toEqual(JSON.parse(body));
    expect(new Webhook(oldest).verify(body, headers)).toEqual(JSON.parse(body));
  });
});

describe('a webhook secret', () => {
  it('is new each time and carries 256 bits', () => {
    const secret = generateSecret();
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(generateSecret()).not.toBe(secret);
  });

  it.each([24, 32, 64])('of %i bytes is a key', (bytes) => {
    const random = randomBytes(bytes);
    expect(secretKey(`whsec_${random.toString('base64')}`)?.equals(createSecretKey(random))).toBe(true);
  });

  it.each([
    ['is too short', `whsec_${randomBytes(23).toString('base64')}`],
    ['is too long', `whsec_${randomBytes(65).toString('base64')}`],
    ['lacks the prefix', randomBytes(32).toString('base64')],
    ['is base64url', `whsec_${Buffer.alloc(32, 0xfb).toString('base64url')}`],
    ['has no padding', `whsec_${randomBytes(32).toString('base64').replace('=', '')}`],
    ['carries a line end', `whsec_${randomBytes(32).toString('base64')}\n`],
    ['is empty', 'whsec_'],
  ])('that %s is none', (_, secret) => {
    expect(secretKey(secret)).toBeNull();
  });
});
