import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { contentSecurityPolicy, stylesheet, submitScript } from '../../../src/http/page-style.ts';
import { routeLabel } from '../../../src/http/request-metrics.ts';
import { createMetrics } from '../../../src/infra/metrics.ts';
import { aServer, connectionId, interactionUid, loginId } from '../../support/http-server.ts';

describe('the request id', () => {
  it('is made where none came, and taken over where a sane one came', async () => {
    const server = aServer();
    const made = await request(server.app).get('/livez');
    expect(made.headers['x-request-id']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
    const taken = await request(server.app).get('/livez').set('X-Request-Id', 'proxy.request_0001');
    expect(taken.headers['x-request-id']).toBe('proxy.request_0001');
    expect(server.lines.map(({ requestId }) => requestId)).toContain('proxy.request_0001');
  });

  it.each(['short', 'x'.repeat(65), 'has spaces in it', '<script>alert(1)</script>', '{"json":"in it"}'])(
    'is made anew instead of %s',
    async (id) => {
      const { headers } = await request(aServer().app).get('/livez').set('X-Request-Id', id);
      expect(headers['x-request-id']).not.toBe(id);
    },
  );
});

describe('the access log', () => {
  it('never holds queries, headers, cookies or odd paths', async () => {
    const server = aServer();
    await request(server.app)
      .get('/interaction/x?login_hint=ann@example.com&code=secret-code')
      .set('Authorization', 'Bearer secret-key')
      .set('Cookie', 'a=secret-cookie')
      .set('User-Agent', 'secret-agent');
    await request(server.app).get('/ann@example.com');
    await request(server.app).get('/ann%40example.com/%0a%7b%22level%22:%22fatal%22%7d');
    expect(server.logText()).not.toMatch(/ann|secret|fatal/);
    const lines = server.lines.filter(({ msg }) => msg === 'request');
    expect(lines.map(({ path, status }) => [path, status])).toEqual([
      ['/interaction/x', 400],
      ['(unusual)', 404],
      ['(unusual)', 404],
    ]);
  });
});

describe('security headers', () => {
  it('stand on every page, with the hashes of the one style sheet and script', async () => {
    const { headers, text } = await request(aServer().app).get('/nothing');
    expect(headers['content-security-policy']).toBe(
      `default-src 'none';style-src ${contentSecurityPolicy['style-src'][0]};script-src ${contentSecurityPolicy['script-src'][0]};` +
        "img-src data:;base-uri 'none';frame-ancestors 'none'",
    );
    expect(text).toContain(`<style>${stylesheet}</style>`);
    expect(text).not.toContain(submitScript);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'strict-origin',
      'strict-transport-security': 'max-age=31536000',
      'cache-control': 'no-store',
    });
    expect(headers['x-powered-by']).toBeUndefined();
    // A login in a window of its own keeps its tie to the app.
    expect(headers['cross-origin-opener-policy']).toBeUndefined();
  });
});

describe('an unknown address', () => {
  it('is a page for browsers and a problem document below /v1', async () => {
    const { app } = aServer();
    const page = await request(app).get('/nothing');
    expect([page.status, page.headers['content-type']]).toEqual([404, 'text/html; charset=utf-8']);
    const problem = await request(app).get('/v1/nothing');
    expect([problem.status, problem.headers['content-type']]).toEqual([401, 'application/problem+json; charset=utf-8']);
  });

  it('that cannot be decoded finds nothing, and breaks nothing', async () => {
    const { app } = aServer();
    for (const path of ['/%', '/saml/%E0%A4%A/acs', '/interaction/%zz', '/v1/%']) {
      expect([400, 401, 404]).toContain((await request(app).get(path)).status);
    }
  });
});

describe('the mount of the provider', () => {
  it('gets everything below /oidc, and what it throws becomes a page', async () => {
    expect((await request(aServer().app).get('/oidc/auth?x=1')).text).toBe('the provider');
    const failing = aServer({ oidcHandler: async () => Promise.reject(new Error('inner words')) });
    const { status, text } = await request(failing.app).get('/oidc/auth');
    expect(status).toBe(500);
    expect(text).not.toContain('inner words');
  });
});

describe('probes', () => {
  it('live while the process turns, ready while Postgres answers', async () => {
    const { app } = aServer();
    expect((await request(app).get('/livez')).text).toBe('ok');
    const ready = await request(app).get('/readyz');
    expect([ready.status, ready.body]).toEqual([200, { status: 'ready', checks: { postgres: 'ok' } }]);
  });

  it.each([
    ['fails', () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.1:5432'))],
    ['does not answer', () => new Promise<void>(() => {})],
  ])('are not ready while Postgres %s, and say no more', async (_case, checkDatabase) => {
    const { app } = aServer({ checkDatabase });
    const { status, body, headers } = await request(app).get('/readyz');
    expect([status, body]).toEqual([503, { status: 'not ready', checks: { postgres: 'unavailable' } }]);
    expect(headers['retry-after']).toBe('5');
    expect((await request(app).get('/livez')).status).toBe(200);
  });
});

describe('metrics', () => {
  it('count requests by pattern, without ids', async () => {
    const metrics = createMetrics();
    const { app } = aServer({ metrics });
    await request(app).get(`/interaction/${interactionUid}`);
    await request(app).get(`/saml/${connectionId}/metadata`);
    await request(app).get('/wp-login.php');
    const { text } = await request(app).get('/metrics');
    expect(text).toContain('rollcall_http_request_duration_seconds_count{method="GET",route="/interaction/:uid",status="303"} 1');
    expect(text).toContain('route="/saml/:connection/metadata",status="200"');
    expect(text).toContain('route="unmatched",status="404"');
    expect(text).not.toContain(interactionUid);
    expect(text).not.toContain('wp-login');
  });

  it.each([
    ['/oidc/token', '', undefined, '/oidc/token'],
    ['/oidc/ann?x', '', undefined, '/oidc'],
    [
      `/v1/workspaces/${loginId}/members/${loginId}`,
      `/v1/workspaces/${loginId}/members`,
      '/:user_id',
      '/v1/workspaces/:id/members/:user_id',
    ],
    ['/x', '', undefined, 'unmatched'],
  ])('label %s', (originalUrl, baseUrl, path, label) => {
    expect(routeLabel({ originalUrl, baseUrl, ...(path === undefined ? {} : { route: { path } }) })).toBe(label);
  });
});

describe('stopping', () => {
  it('lets requests in flight end, takes no new ones and says so to the probes', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const server = aServer({
      oidcHandler: async (_req, res) => {
        await gate;
        res.end('done in peace');
      },
    });
    const port = await server.listen({ host: '127.0.0.1', port: 0 });
    const inFlight = fetch(`http://127.0.0.1:${port}/oidc/auth`);
    await sleep(50);
    const closed = server.close();
    await sleep(50);
    await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
    open();
    expect(await (await inFlight).text()).toBe('done in peace');
    await closed;
  });

  it('cuts what has not ended when the time is over', async () => {
    const server = aServer({ oidcHandler: () => new Promise(() => {}), settings: { drainSeconds: 1 } });
    const port = await server.listen({ host: '127.0.0.1', port: 0 });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /oidc/auth HTTP/1.1\r\nHost: x\r\n\r\n');
    await sleep(50);
    const startedAt = performance.now();
    await Promise.all([server.close(), once(socket, 'close')]);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  it('refuses a port that is taken, with the reason', async () => {
    const first = aServer();
    const port = await first.listen({ host: '127.0.0.1', port: 0 });
    await expect(aServer().listen({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await first.close();
  });
});
