import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { afterEach } from 'vitest';
import { BrokerError } from '../../src/domain/broker-error.ts';
import { createOutboundHttp, type OutboundHttp, type OutboundHttpOptions } from '../../src/infra/outbound-http.ts';

/** Run after each test, the last one first. */
export const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server on loopback, and the requests that reached it. */
export async function serve(
  handler: RequestListener,
): Promise<{ url: string; port: number; server: Server; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, server, requests };
}

/** By default the guard lets 127.0.0.1 through, and no other private address. */
export function open(options: Partial<OutboundHttpOptions> = {}): OutboundHttp {
  const outbound = createOutboundHttp({
    allowHttp: true,
    allowedPrivateAddresses: ['127.0.0.1'],
    timeoutSeconds: 2,
    maxResponseBytes: 10_000,
    ...options,
  });
  closing.push(outbound.close);
  return outbound;
}

/** Of an outbound failure; any other error is thrown on. */
export async function reasonOf(pending: Promise<unknown>): Promise<string | undefined> {
  try {
    await pending;
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'upstream_unavailable') return error.reason;
    throw error;
  }
  return 'nothing thrown';
}

export const hello = (_: unknown, response: ServerResponse) => response.end('hello');
