import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  verify,
} from 'node:crypto';
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

describe('the asymmetric signature', () => {
  const pair = () => generateKeyPairSync('ed25519');

  /** Independent of how it was made: RFC 8032 over id, timestamp and body. */
  function verifies(headers: ReturnType<typeof signed>, publicKey: KeyObject, text = body): boolean {
    const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`);
    return headers['webhook-signature']
      .split(' ')
      .filter((signature) => signature.startsWith('v1a,'))
      .some((signature) => verify(null, content, publicKey, Buffer.from(signature.slice('v1a,'.length), 'base64')));
  }

  it('is what Ed25519 gives for a known key', () => {
    // RFC 8032 7.1, test 1: the secret key.
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
    const key = createPrivateKey({
      key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
      format: 'der',
      type: 'pkcs8',
    });
    const headers = signed([key]);
    expect(headers['webhook-signature']).toMatch(/^v1a,[A-Za-z0-9+/]{86}==$/);
    expect(verifies(headers, createPublicKey(key))).toBe(true);
  });

  it('is verified with the public key of any key that signed, and by no other', () => {
    const [fresh, old, other] = [pair(), pair(), pair()];
    const headers = signed([fresh.privateKey, old.privateKey]);
    expect(verifies(headers, fresh.publicKey)).toBe(true);
    expect(verifies(headers, old.publicKey)).toBe(true);
    expect(verifies(headers, other.publicKey)).toBe(false);
    expect(verifies(headers, fresh.publicKey, `${body} `)).toBe(false);
  });

  it('stands beside the symmetric ones, which stay first', () => {
    const secret = generateSecret();
    const { privateKey, publicKey } = pair();
    const headers = signed([keyOf(secret), privateKey]);
    expect(headers['webhook-signature']).toMatch(/^v1,\S+ v1a,\S+$/);
    expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(verifies(headers, publicKey)).toBe(true);
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
