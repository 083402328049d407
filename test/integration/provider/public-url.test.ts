import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemoryStore } from '../../../src/infra/expiring-store-memory.ts';
import { createProvider } from '../../../src/provider/provider.ts';
import { ada, callback, client, signedIn } from '../../support/provider-world.ts';
import { quietLog } from '../../support/quiet-log.ts';
import { generateSigningKey } from '../../support/signing-key.ts';

const issuer = 'https://login.example.com/oidc';
const cookieKey = `k1:${Buffer.alloc(32, 1).toString('base64')}`;

describe('a provider behind a proxy, under a public URL of https', () => {
  const server = createServer();
  beforeAll(async () => {
    const provider = createProvider({
      issuer,
      store: createMemoryStore({ now: () => new Date(), maxEntries: 100 }),
      findClient: async (clientId) => (clientId === 'app' ? client() : null),
      loadAccount: async () => ada,
      signingKeys: [await generateSigningKey('ES256')],
      defaultSigningAlgorithm: 'ES256',
      cookieKeys: [cookieKey],
      lifetimes: { authorizationCodeSeconds: 60, accessTokenSeconds: 600, idTokenSeconds: 600, pendingLoginSeconds: 600 },
      sessionLifetimeSeconds: 3_600,
      log: quietLog,
      renderError: ({ error }) => error.code,
    });
    const app = express();
    app.use('/oidc', provider.handler);
    app.get('/interaction/:uid/finish', (req, res) => provider.finishSignedIn(req, res, signedIn(ada)));
    server.on('request', app);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void server.close());

  /** A request as it comes in behind the proxy: plain http, with whatever headers its sender chose. */
  function send(
    path: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; location: string; cookies: string[]; body: string }> {
    const { port } = server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path, headers: { host: 'login.example.com', ...headers } }, (answer) => {
        let body = '';
        answer.on('data', (chunk) => {
          body += chunk;
        });
        const { location = '', 'set-cookie': cookies = [] } = answer.headers;
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, location, cookies, body }));
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
  const authorization = `/oidc/auth?${new URLSearchParams({
    client_id: 'app',
    response_type: 'code',
    scope: 'openid',
    redirect_uri: callback,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })}`;

  it.each([
    ['an honest request', '', {}],
    ['a foreign Host', '', { host: 'evil.example.com' }],
    [
      'forwarded headers',
      '',
      { 'x-forwarded-host': 'evil.example.com', 'x-forwarded-proto': 'http', forwarded: 'host=evil.example.com' },
    ],
    ['an absolute request target', 'http://evil.example.com', {}],
  ])('gives out addresses of the public URL only, at %s', async (_name, prefix, headers) => {
    const discovery = await send(`${prefix}/oidc/.well-known/openid-configuration`, headers);
    const addresses = Object.entries(JSON.parse(discovery.body) as Record<string, string>).filter(([name]) =>
      /_endpoint$|_uri$|^issuer$/.test(name),
    );
    expect(addresses).toHaveLength(6);
    for (const [, address] of addresses) expect(address.startsWith(issuer)).toBe(true);

    const started = await send(prefix + authorization, headers);
    expect(started.location).toMatch(/^\/interaction\/[\w-]+$/);
    const cookie = started.cookies.map((line) => line.split(';')[0]).join('; ');
    const finished = await send(`${started.location}/finish`, { ...headers, cookie });
    expect(finished.location).toMatch(/^https:\/\/login\.example\.com\/oidc\/auth\/[\w-]+$/);
  });

  it('sets cookies that only https carries, scripts do not see and other sites do not send along with a POST', async () => {
    const started = await send(authorization);
    const uid = started.location.split('/').at(-1);
    const cookie = started.cookies.map((line) => line.split(';')[0]).join('; ');
    const finished = await send(`${started.location}/finish`, { cookie });
    const resumed = await send(new URL(finished.location).pathname, { cookie });
    const all = [...started.cookies, ...finished.cookies, ...resumed.cookies];
    expect(new Set(all.map((line) => line.split('=')[0]?.replace(/\.sig$/, '')))).toEqual(
      new Set(['__Secure-rollcall-interaction', '__Secure-rollcall-resume', '__Secure-rollcall-session']),
    );
    for (const line of all) {
      expect(line).toMatch(/; secure/);
      expect(line).toMatch(/; httponly/);
    }
    expect(started.cookies).toHaveLength(4);
    for (const line of started.cookies) {
      expect(line).toMatch(/; samesite=lax/);
      expect(line).toMatch(new RegExp(`path=/(interaction|oidc/auth)/${uid};`));
    }
  });
});
