import type { RequestListener, ServerResponse } from 'node:http';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { closing, hello, open, reasonOf, serve } from '../../support/outbound-world.ts';

describe('limits', () => {
  test.each([
    ['an answer that never begins', () => {}],
    ['a head that drips', (_: unknown, response: ServerResponse) => drip(() => response.socket?.write('HTTP/1.1 200 OK\r\nx: '))],
    [
      'a body that drips',
      (_: unknown, response: ServerResponse) => {
        response.writeHead(200);
        drip(() => response.write('x'));
      },
    ],
  ])('%s ends in time', async (_, handler) => {
    const { url } = await serve(handler as RequestListener);
    const startedAt = performance.now();
    expect(await reasonOf(open({ timeoutSeconds: 1 }).request(url))).toBe('timeout');
    expect(performance.now() - startedAt).toBeLessThan(1_900);
  });

  test('a slow answer within the time is taken, and one request can have a time of its own', async () => {
    const { url } = await serve((_, response) => setTimeout(() => response.end('late'), 700));
    expect((await open({ timeoutSeconds: 2 }).request(url)).body.toString()).toBe('late');
    expect(await reasonOf(open({ timeoutSeconds: 20 }).request(url, { timeoutSeconds: 0.3 }))).toBe('timeout');
  });

  test.each([
    ['announced', (response: ServerResponse) => response.writeHead(200, { 'content-length': 10_001 }).end('x'.repeat(10_001))],
    ['not announced', (response: ServerResponse) => endless(response)],
  ])('a body that is too large, %s, is cut off; one that just fits is not', async (_, send) => {
    const { url } = await serve((_, response) => send(response));
    expect(await reasonOf(open({ maxResponseBytes: 10_000 }).request(url))).toBe('too_large');
    const { url: fitting } = await serve((_, response) => response.end('x'.repeat(10_000)));
    expect((await open({ maxResponseBytes: 10_000 }).request(fitting)).body).toHaveLength(10_000);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)(
    'a %s body that was not asked for is read, and one that unpacks to too much is refused',
    async (encoding, compress) => {
      const { url } = await serve(({ url: path }, response) => {
        response
          .writeHead(200, { 'content-encoding': encoding })
          .end(compress(Buffer.alloc(path === '/bomb' ? 50_000_000 : 9_000, 'x')));
      });
      const outbound = open({ maxResponseBytes: 10_000, timeoutSeconds: 10 });
      expect((await outbound.request(`${url}/good`)).body).toHaveLength(9_000);
      expect(await reasonOf(open({ maxResponseBytes: 60_000, timeoutSeconds: 10 }).request(`${url}/bomb`))).toBe('too_large');
    },
  );

  test('encodings in layers are refused', async () => {
    const { url } = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(gzipSync(gzipSync('x'))),
    );
    expect(await reasonOf(open().request(url))).toBe('connect');
  });

  test('a caller can give up', async () => {
    const { url } = await serve(() => {});
    const reason = new Error('enough');
    await expect(open().request(url, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: 'TimeoutError' });
    await expect(open().request(url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('redirects', () => {
  const redirecting = (location: string, status = 302) => serve((_, response) => response.writeHead(status, { location }).end());

  test('are not followed unless told', async () => {
    const { url: target, requests } = await serve(hello);
    const { url } = await redirecting(target);
    expect(await open().request(url)).toMatchObject({ status: 302, headers: { location: target } });
    expect(requests).toHaveLength(0);
    expect((await open().request(url, { followRedirects: true })).body.toString()).toBe('hello');
  });

  test('relative ones work, and three in a row', async () => {
    const { url } = await serve(({ url: path = '' }, response) => {
      const step = Number(path.slice(1));
      if (step === 0) response.end('there');
      else response.writeHead(307, { location: `/${step - 1}` }).end();
    });
    expect((await open().request(`${url}/3`, { followRedirects: true })).body.toString()).toBe('there');
    expect(await reasonOf(open().request(`${url}/4`, { followRedirects: true }))).toBe('redirect');
  });

  test('each step is checked: to a private address it ends', async () => {
    const { port, requests } = await serve(hello);
    const { url } = await redirecting(`http://127.0.0.2:${port}/`);
    expect(await reasonOf(open().request(url, { followRedirects: true }))).toBe('blocked_address');
    const { url: toMetadata } = await redirecting('http://169.254.169.254/latest/');
    expect(await reasonOf(open().request(toMetadata, { followRedirects: true }))).toBe('blocked_address');
    expect(requests).toHaveLength(0);
  });

  test.each([
    ['a file', 'file:///etc/passwd', 'http_not_allowed'],
    ['credentials', 'http://user:pw@127.0.0.1/', 'invalid_url'],
    ['no URL', 'http://', 'redirect'],
  ])('to %s ends', async (_, location, reason) => {
    const { url } = await redirecting(location);
    expect(await reasonOf(open().request(url, { followRedirects: true }))).toBe(reason);
  });

  test('of a POST are not followed', async () => {
    const { url: target, requests } = await serve(hello);
    const { url } = await redirecting(target, 307);
    expect(await open().request(url, { method: 'POST', body: 'x', followRedirects: true })).toMatchObject({ status: 307 });
    expect(requests).toHaveLength(0);
  });

  test('carry no credentials to another origin, and keep them within one', async () => {
    const { url: other, requests: atOther } = await serve(hello);
    const { url, requests } = await serve(({ url: path }, response) =>
      response.writeHead(302, { location: path === '/away' ? other : '/away' }).end(),
    );
    await open().request(url, {
      followRedirects: true,
      headers: { authorization: 'Bearer x', cookie: 'a=1', accept: 'text/plain' },
    });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer x', 'Bearer x']);
    expect(atOther[0]?.headers).toMatchObject({ accept: 'text/plain' });
    expect(atOther[0]?.headers).not.toHaveProperty('authorization');
    expect(atOther[0]?.headers).not.toHaveProperty('cookie');
  });

  test('share the time of the whole request', async () => {
    const { url } = await serve((_, response) => setTimeout(() => response.writeHead(302, { location: '/' }).end(), 400));
    expect(await reasonOf(open({ timeoutSeconds: 1 }).request(url, { followRedirects: true }))).toBe('timeout');
  });
});

function drip(write: () => unknown): void {
  const timer = setInterval(write, 50);
  closing.push(() => clearInterval(timer));
}

function endless(response: ServerResponse): void {
  response.writeHead(200);
  const timer = setInterval(() => response.write('x'.repeat(1_000)), 1);
  closing.push(() => clearInterval(timer));
}
