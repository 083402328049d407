import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { addressKey, createRateLimit } from '../../../src/http/rate-limit.ts';
import { aServer, connectionId, interactionUid } from '../../support/http-server.ts';

describe('one address', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['not an address', 'unknown'],
    [undefined, 'unknown'],
  ])('%s counts as %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});

describe('the limit of logins', () => {
  const limited = (requestsPerMinute: number, trustedProxies = 0) =>
    aServer({
      settings: { trustedProxies },
      login: {
        limits: {
          authorize: createRateLimit({ name: 'login-authorize', requestsPerMinute, redis: null }),
          start: createRateLimit({ name: 'login-start', requestsPerMinute, redis: null }),
          answer: createRateLimit({ name: 'login-answer', requestsPerMinute, redis: null }),
        },
      },
    }).app;
  const start = `/interaction/${interactionUid}`;

  it('lets through what it allows, then answers 429 with the time to wait', async () => {
    const app = limited(2);
    for (let round = 0; round < 2; round += 1) expect((await request(app).get(start)).status).toBe(303);
    const { status, headers, text } = await request(app).get(start);
    expect(status).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(text).toContain('Too many requests');
  });

  it('counts answers for themselves, and before their body is read', async () => {
    const app = limited(1);
    expect((await request(app).get(start)).status).toBe(303);
    const answer = () => request(app).post(`/saml/${connectionId}/acs`).type('form').send({ SAMLResponse: 'x' });
    expect((await answer()).status).toBe(303);
    expect((await answer()).status).toBe(429);
  });

  it.each(['/oidc/auth', '/oidc/auth/', '/oidc/AUTH', '/oidc/aUth/'])(
    'counts authorization requests, also as %s',
    async (path) => {
      const app = limited(1);
      expect((await request(app).get(`/oidc/auth?client_id=app`)).status).toBe(200);
      expect((await request(app).get(`${path}?client_id=app`)).status).toBe(429);
      // Where a login goes on, and what the app's server asks for, is not held up by others of its address.
      for (const other of [
        '/oidc/auth/the-interaction',
        '/oidc/token',
        '/oidc/me',
        '/oidc/jwks',
        '/oidc/.well-known/openid-configuration',
      ]) {
        expect((await request(app).get(other)).status).toBe(200);
      }
    },
  );

  it('goes by the address that the trusted proxy saw, and by no header where none is trusted', async () => {
    const from = (app: Parameters<typeof request>[0], address: string) => request(app).get(start).set('X-Forwarded-For', address);
    const behindProxy = limited(1, 1);
    expect((await from(behindProxy, '203.0.113.1')).status).toBe(303);
    expect((await from(behindProxy, '203.0.113.2')).status).toBe(303);
    // What stands further left was written by the sender.
    expect((await from(behindProxy, '198.51.100.9, 203.0.113.1')).status).toBe(429);
    const direct = limited(1);
    expect((await from(direct, '203.0.113.1')).status).toBe(303);
    expect((await from(direct, '203.0.113.2')).status).toBe(429);
  });
});
