import { describe, expect, test } from 'vitest';
import { hello, open, reasonOf, serve } from '../../support/outbound-world.ts';

describe('a request', () => {
  test('carries method, headers and body, and brings back status, headers and body', async () => {
    const { url, requests } = await serve((request, response) => {
      request
        .setEncoding('utf8')
        .on('data', (text) => response.writeHead(201, { 'x-one': '1', 'set-cookie': ['a=1', 'b=2'] }).end(`got ${text}`));
    });
    const response = await open().request(`${url}/hook?x=1`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'ping',
    });
    expect(response).toMatchObject({ status: 201, headers: { 'x-one': '1', 'set-cookie': 'a=1, b=2' } });
    expect(response.body.toString()).toBe('got ping');
    expect(requests[0]).toMatchObject({
      method: 'POST',
      url: '/hook?x=1',
      headers: { 'content-type': 'text/plain', 'accept-encoding': 'identity' },
    });
  });

  test('an answer with an error status is an answer', async () => {
    const { url } = await serve((_, response) => response.writeHead(503).end('later'));
    expect(await open().request(url)).toMatchObject({ status: 503 });
  });

  test('connections are kept and used again', async () => {
    const { url, requests } = await serve(hello);
    const outbound = open();
    for (let round = 0; round < 10; round += 1) await outbound.request(url);
    // Two, because a connection is free a moment after its answer was read.
    expect(new Set(requests.map(({ socket }) => socket)).size).toBeLessThanOrEqual(2);
  });
});

describe('URLs', () => {
  test('http is refused unless allowed, https is always tried', async () => {
    const { url } = await serve(hello);
    const strict = open({ allowHttp: false });
    expect(await reasonOf(strict.request(url))).toBe('http_not_allowed');
    expect(await reasonOf(strict.request(url.replace('http:', 'https:')))).toBe('connect');
  });

  test.each([
    ['a file', 'file:///etc/passwd', 'http_not_allowed'],
    ['data', 'data:text/plain,x', 'http_not_allowed'],
    ['ftp', 'ftp://127.0.0.1/', 'http_not_allowed'],
    ['a user name', 'http://user@127.0.0.1/', 'invalid_url'],
    ['a password', 'http://:pw@127.0.0.1/', 'invalid_url'],
    ['no URL', 'example.com', 'invalid_url'],
    ['nothing', '', 'invalid_url'],
  ])('%s is refused', async (_, url, reason) => expect(await reasonOf(open().request(url))).toBe(reason));

  test('errors name the origin and neither path nor query: those may hold tokens', async () => {
    const error = await open({ allowedPrivateAddresses: [] })
      .request('http://127.0.0.1:9/secret-path?token=secret')
      .catch((thrown: Error) => thrown);
    expect((error as Error).message).toContain('http://127.0.0.1:9');
    expect((error as Error).message).not.toContain('secret');
  });
});

describe('fetch', () => {
  test('takes what openid-client sends, and answers as the standard does', async () => {
    const { url } = await serve((request, response) => {
      request
        .setEncoding('utf8')
        .on('data', (text) =>
          response
            .writeHead(200, { 'content-type': 'application/json' })
            .end(JSON.stringify({ type: request.headers['content-type'], text })),
        );
    });
    const response = await open().fetch(url, {
      method: 'POST',
      headers: new Headers({ accept: 'application/json' }),
      body: new URLSearchParams({ a: 'ü', b: '2' }),
      redirect: 'manual',
    });
    expect(response).toBeInstanceOf(Response);
    expect([response.status, response.ok, response.headers.get('content-type')]).toEqual([200, true, 'application/json']);
    expect(await response.json()).toEqual({ type: 'application/x-www-form-urlencoded;charset=UTF-8', text: 'a=%C3%BC&b=2' });
  });

  test('has the same guards', async () => {
    expect(await reasonOf(open().fetch('http://127.0.0.2/'))).toBe('blocked_address');
    expect(await reasonOf(open().fetch('http://user@127.0.0.1/'))).toBe('invalid_url');
    expect(await reasonOf(open({ allowHttp: false }).fetch(new URL('http://127.0.0.1/')))).toBe('http_not_allowed');
  });

  test('leaves redirects to the caller unless told to follow', async () => {
    const { url: target } = await serve(hello);
    const { url } = await serve((_, response) => response.writeHead(302, { location: target }).end());
    expect((await open().fetch(url)).status).toBe(302);
    expect(await (await open().fetch(url, { redirect: 'follow' })).text()).toBe('hello');
    expect(await reasonOf(open().fetch(url, { redirect: 'error' }))).toBe('redirect');
  });

  test('answers without a body are no error, and a signal ends a request', async () => {
    const { url } = await serve(({ url: path }, response) => path === '/empty' && response.writeHead(204).end());
    expect((await open().fetch(`${url}/empty`)).status).toBe(204);
    await expect(open().fetch(`${url}/silent`, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });
});
