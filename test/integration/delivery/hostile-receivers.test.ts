import { generateKeyPairSync } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createAttempt } from '../../../src/delivery/attempt.ts';
import type { OutboundHttpOptions } from '../../../src/infra/outbound-http.ts';
import { hello, open, serve } from '../../support/outbound-world.ts';

const key = generateKeyPairSync('ed25519').privateKey;
const event = { eventId: '018f0000-0000-7000-8000-000000000001', body: '{"type":"endpoint.test"}' };

/** One attempt through the guarded client, as the worker makes it. */
async function deliver(url: string, outbound: Partial<OutboundHttpOptions> = {}) {
  const attempt = createAttempt({ outbound: open(outbound), now: () => new Date(), timeoutSeconds: 0.5 });
  const target = { url, keys: [key], headers: {}, rateLimitPerSecond: null, maxConcurrency: null };
  const { kind, status, ...rest } = await attempt(target, event);
  return { kind, status, error: 'error' in rest ? rest.error : null };
}

const delivered = { kind: 'delivered', status: 200, error: null };
const failed = (error: string, status: number | null = null) => ({ kind: 'failed', status, error });

describe('webhooks to addresses of the house', () => {
  const resolvingTo = (address: string) => async () => [{ address, family: address.includes(':') ? 6 : 4 }];

  it.each([
    ['loopback', '127.0.0.2'],
    ['IPv6 loopback', '::1'],
    ['a private network', '10.1.2.3'],
    ['another private network', '192.168.7.1'],
    ['an IPv6 unique local address', 'fd12:3456::1'],
    ['link-local, the metadata service of clouds', '169.254.169.254'],
    ['IPv6 link-local', 'fe80::1'],
    ['IPv4-mapped loopback', '::ffff:127.0.0.1'],
    ['IPv4-mapped private', '::ffff:10.1.2.3'],
    ['IPv4-mapped link-local', '::ffff:a9fe:a9fe'],
    ['NAT64 of a private address', '64:ff9b::a01:203'],
  ])('a name that resolves to %s is not connected to, whatever the port', async (_, address) => {
    const { port, requests } = await serve(hello);
    for (const odd of [port, 22, 6379, 5432]) {
      const outbound = { allowedPrivateAddresses: [], resolveHost: resolvingTo(address) };
      expect(await deliver(`http://hooks.customer.example:${odd}/`, outbound)).toEqual(failed('blocked_address'));
    }
    expect(requests).toHaveLength(0);
  });

  it('the same name is delivered to where its address is allowed', async () => {
    const { port } = await serve(hello);
    const outbound = { allowedPrivateAddresses: ['127.0.0.1'], resolveHost: resolvingTo('127.0.0.1') };
    expect(await deliver(`http://hooks.customer.example:${port}/`, outbound)).toEqual(delivered);
  });

  it('a name that changes between two attempts is checked at each connection', async () => {
    const { port, server, requests } = await serve(hello);
    const answers = ['127.0.0.1', '127.0.0.2'];
    const outbound = { allowedPrivateAddresses: ['127.0.0.1'], resolveHost: () => resolvingTo(answers.shift() as string)() };
    const attempt = createAttempt({ outbound: open(outbound), now: () => new Date(), timeoutSeconds: 1 });
    const url = `http://rebinding.example:${port}/`;
    const target = { url, keys: [key], headers: {}, rateLimitPerSecond: null, maxConcurrency: null };
    expect(await attempt(target, event)).toMatchObject({ kind: 'delivered' });
    server.closeAllConnections();
    expect(await attempt(target, event)).toMatchObject(failed('blocked_address'));
    expect(requests).toHaveLength(1);
  });

  it('a redirect is a failure, and nobody asks where it leads', async () => {
    const house = await serve(hello);
    for (const status of [301, 302, 303, 307, 308]) {
      const { url } = await serve((_, response) => response.writeHead(status, { location: house.url }).end());
      expect(await deliver(url)).toEqual(failed('redirect', status));
    }
    expect(house.requests).toHaveLength(0);
    expect(await deliver(house.url)).toEqual(delivered);
  });

  it('an address with a user name or password is not used', async () => {
    const { port, requests } = await serve(hello);
    for (const credentials of ['user', 'user:password', ':password']) {
      expect(await deliver(`http://${credentials}@127.0.0.1:${port}/`)).toEqual(failed('invalid_url'));
    }
    expect(requests).toHaveLength(0);
    expect(await deliver(`http://127.0.0.1:${port}/?user=password`)).toEqual(delivered);
  });
});

describe('answers that would hold a worker', () => {
  it('a body that drips ends with the time limit; one that is slow but complete does not', async () => {
    const drip = (times: number) => (_: unknown, response: ServerResponse) => {
      let left = times;
      response.writeHead(200);
      const timer = setInterval(() => {
        response.write('.');
        left -= 1;
        if (left === 0) response.end();
        if (left === 0) clearInterval(timer);
      }, 20);
      response.on('close', () => clearInterval(timer));
    };
    expect(await deliver((await serve(drip(Number.POSITIVE_INFINITY))).url)).toEqual(failed('timeout'));
    expect(await deliver((await serve(drip(3))).url)).toEqual(delivered);
  });

  it('of 1 GiB no more is taken than the limit and what is on the way', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'x');
    let sent = 0;
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': String(1024 ** 3) });
      const pour = () => {
        while (!response.destroyed && sent < 1024 ** 3 && response.write(chunk)) sent += chunk.length;
        if (!response.destroyed) response.once('drain', pour);
      };
      pour();
    });
    expect(await deliver(url)).toEqual(failed('too_large'));
    expect(sent).toBeLessThan(32 * 1024 ** 2);
    const modest = await serve((_, response) => response.end(Buffer.alloc(32 * 1024, 'x')));
    expect(await deliver(modest.url)).toEqual(delivered);
  });

  it('a small answer that decompresses to a large one is refused', async () => {
    const packed = (bytes: number) => gzipSync(Buffer.alloc(bytes));
    const serving = (body: Buffer) => serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(body));
    expect(await deliver((await serving(packed(32 * 1024 ** 2))).url)).toEqual(failed('too_large'));
    expect(await deliver((await serving(packed(1_000))).url)).toEqual(delivered);
  });

  it('a head without end is refused', async () => {
    const heads = (bytes: number) => (_: unknown, response: ServerResponse) => response.setHeader('x', 'y'.repeat(bytes)).end();
    expect(await deliver((await serve(heads(200_000))).url)).toEqual(failed('connect'));
    expect(await deliver((await serve(heads(1_000))).url)).toEqual(delivered);
  });
});
