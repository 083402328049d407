import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import type { LoginRequest } from '../../../src/login/start.ts';
import { aServer, connectionId, interactionUid, pendingId } from '../../support/http-server.ts';

const start = `/interaction/${interactionUid}`;
const cookieName = `__Host-rollcall-login-${'p'.repeat(16)}`;

describe('starting a login', () => {
  it('sends the browser to the IdP with the cookie that binds the login to it', async () => {
    const { status, headers } = await request(aServer().app).get(start);
    expect(status).toBe(303);
    expect(headers.location).toBe('https://idp.example.com/sso?SAMLRequest=x');
    expect(headers['set-cookie']).toEqual([`${cookieName}=browser-token; Max-Age=600; Path=/; HttpOnly; Secure; SameSite=None`]);
    expect(headers['cache-control']).toBe('no-store');
  });

  it('on plain http sets a cookie that browsers take there', async () => {
    const { headers } = await request(aServer({ publicUrl: 'http://localhost:3000' }).app).get(start);
    expect(headers['set-cookie']).toEqual([
      `rollcall-login-${'p'.repeat(16)}=browser-token; Max-Age=600; Path=/; HttpOnly; SameSite=Lax`,
    ]);
    expect(headers['strict-transport-security']).toBeUndefined();
  });

  it('shows a form that sends itself for the POST binding, with the cookie and without form-action', async () => {
    const { text, headers } = await request(
      aServer({
        login: {
          startLogin: async () => ({
            kind: 'post',
            url: 'https://idp.example.com/sso?a=1&b="',
            fields: { SAMLRequest: 'PHg+', RelayState: pendingId },
            cookie: { pendingId, value: 'browser-token' },
          }),
        },
      }).app,
    ).get(start);
    expect(text).toContain('<form method="post" action="https://idp.example.com/sso?a=1&amp;b=&quot;">');
    expect(text).toContain(`<input type="hidden" name="RelayState" value="${pendingId}">`);
    expect(text).toContain('<noscript>');
    expect(headers['set-cookie']?.[0]).toContain(cookieName);
    expect(headers['content-security-policy']).not.toContain('form-action');
  });

  it.each(['javascript:alert(1)', 'data:text/html,x', '//idp.example.com'])('shows no form that posts to %s', async (url) => {
    const step = { kind: 'post', url, fields: {}, cookie: { pendingId, value: 'x' } } as const;
    const { status, text } = await request(aServer({ login: { startLogin: async () => step } }).app).get(start);
    expect(status).toBe(502);
    expect(text).not.toContain('<form');
  });

  it('offers the connections to choose from, whatever they are called', async () => {
    const other = '01890000-0000-7000-8000-000000000002';
    const step = {
      kind: 'choose',
      connections: [
        { connectionId, displayName: 'Okta <script>alert(1)</script>', isDefault: true },
        { connectionId: other, displayName: 'Entra ID', isDefault: false },
      ],
    } as const;
    const { text, status } = await request(aServer({ login: { startLogin: async () => step } }).app).get(start);
    expect(status).toBe(200);
    expect(text).toContain(`href="${start}?connection=${other}"`);
    expect(text).toContain('Okta &lt;script&gt;');
    expect(text).not.toContain('<script>alert');
  });

  it('passes on what the app asked for, and the choice made on the page', async () => {
    const requests: LoginRequest[] = [];
    const startLogin = async (asked: LoginRequest) => {
      requests.push(asked);
      return { kind: 'choose', connections: [] } as const;
    };
    let parameters: Record<string, string> = { workspace: 'acme', login_hint: 'ann@example.com' };
    const provider = {
      interaction: async () => ({ uid: interactionUid, clientId: 'app', clientName: 'App', parameters }),
      finishSignedIn: async () => {},
      finishRefused: async () => {},
    };
    await request(aServer({ login: { startLogin, provider } }).app).get(`${start}?connection=${connectionId}`);
    expect(requests).toEqual([
      { interactionUid, workspace: 'acme', connection: connectionId, loginHint: 'ann@example.com', reauthenticate: false },
    ]);
    const asked: Record<string, string>[] = [{ prompt: 'login' }, { max_age: '300' }];
    for (parameters of asked) {
      await request(aServer({ login: { startLogin, provider } }).app).get(start);
      expect(requests.at(-1)).toMatchObject({ reauthenticate: true });
    }
  });

  it.each([
    ['login_expired', 400],
    ['connection_disabled', 403],
    ['not_found', 404],
    ['upstream_unavailable', 503],
    ['upstream_misconfigured', 502],
  ] as const)('shows a page for %s, with the reference of the log line', async (code, expected) => {
    const refuse = async () => Promise.reject(new BrokerError(code, 'detail for the log', { reason: 'why' }));
    const server = aServer({ login: { startLogin: refuse } });
    const { status, text, headers } = await request(server.app).get(start);
    expect(status).toBe(expected);
    expect(headers['content-type']).toContain('text/html');
    expect(text).not.toContain('detail for the log');
    const reference = headers['x-request-id'] as string;
    expect(text).toContain(`<dd>${reference}</dd>`);
    expect(
      server.lines.filter(({ requestId, code: logged }) => requestId === reference && logged === code).length,
    ).toBeGreaterThan(0);
  });

  it('says when to come back while the IdP is away', async () => {
    const refuse = async () => Promise.reject(new BrokerError('upstream_unavailable', 'no answer', { reason: 'timeout' }));
    const { headers } = await request(aServer({ login: { startLogin: refuse } }).app).get(start);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  });

  it('starts nothing for HEAD', async () => {
    let started = 0;
    const startLogin = async () => {
      started += 1;
      return { kind: 'choose', connections: [] } as const;
    };
    const server = aServer({ login: { startLogin } });
    expect((await request(server.app).head(start)).status).toBe(404);
    expect(started).toBe(0);
    expect((await request(server.app).get(start)).status).toBe(200);
    expect(started).toBe(1);
  });
});
