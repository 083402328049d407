import { promises as dns, type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { BrokerError } from '../domain/broker-error.ts';
import { type AddressGuard, createAddressGuard } from './outbound-address.ts';

export interface OutboundHttpOptions {
  readonly allowHttp: boolean;
  /** Hosts, addresses and CIDR ranges that may be reached although they are not public. */
  readonly allowedPrivateAddresses: readonly string[];
  /** Over everything: name, connection, head and body, redirects included. */
  readonly timeoutSeconds: number;
  /** Of the body, also after decompression. */
  readonly maxResponseBytes: number;
  readonly resolveHost?: (hostname: string) => Promise<LookupAddress[]>;
}

export interface OutboundRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutSeconds?: number;
  readonly maxResponseBytes?: number;
  /** GET and HEAD only; each step is checked like the first. Off: a redirect is an answer like any other. */
  readonly followRedirects?: boolean;
  readonly signal?: AbortSignal;
}

export interface OutboundResponse {
  readonly status: number;
  /** Names in lower case; several of one name are joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface OutboundHttp {
  request(url: string, options?: OutboundRequest): Promise<OutboundResponse>;
  /** For libraries that take a `fetch`. Unlike the standard's, it follows redirects only when told `redirect: 'follow'`. */
  readonly fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
  close(): Promise<void>;
}

export type OutboundReason =
  | 'invalid_url'
  | 'http_not_allowed'
  | 'blocked_address'
  | 'dns'
  | 'connect'
  | 'timeout'
  | 'too_large'
  | 'redirect';

const maxRedirects = 3;
const connectionsPerOrigin = 128;

/**
 * The only way out of the house (law 8). Addresses are checked when a connection is made, after the name was resolved, and the
 * connection goes to one of the addresses that were checked: a name that resolves differently the next moment gains nothing.
 * @throws BrokerError `upstream_unavailable` with an `OutboundReason`; its detail names the origin, never path or query
 */
export function createOutboundHttp(options: OutboundHttpOptions): OutboundHttp {
  const guard = createAddressGuard(options.allowedPrivateAddresses);
  const agent = new Agent({
    connect: guardedConnector(
      guard,
      options.resolveHost ?? ((hostname) => dns.lookup(hostname, { all: true })),
      options.timeoutSeconds,
    ),
    connections: connectionsPerOrigin,
    keepAliveTimeout: 10_000,
    // The signal of each request limits these together with everything else.
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  const request = async (address: string, wanted: OutboundRequest = {}): Promise<OutboundResponse> => {
    let url = checkedUrl(address, options.allowHttp);
    let headers = wanted.headers ?? {};
    const timeoutSeconds = wanted.timeoutSeconds ?? options.timeoutSeconds;
    const deadline = new AbortController();
    // Not AbortSignal.timeout: that would stay in memory for the whole time after each quick answer.
    const timer = setTimeout(() => deadline.abort(), timeoutSeconds * 1_000);
    const signal = wanted.signal ? AbortSignal.any([deadline.signal, wanted.signal]) : deadline.signal;
    const maxBytes = wanted.maxResponseBytes ?? options.maxResponseBytes;
    try {
      for (let redirects = 0; ; redirects += 1) {
        const response = await exchange(agent, url, { ...wanted, headers }, signal, maxBytes);
        const next = wanted.followRedirects ? redirectTarget(response, url, wanted.method) : null;
        if (next === null) return response;
        if (redirects === maxRedirects) throw failure('redirect', url, `more than ${maxRedirects} redirects`);
        const target = checkedUrl(next.href, options.allowHttp && url.protocol === 'http:');
        headers = headersFor(headers, url, target);
        url = target;
      }
    } catch (error) {
      if (wanted.signal?.aborted && !deadline.signal.aborted) throw wanted.signal.reason;
      throw asFailure(error, url, deadline.signal.aborted, timeoutSeconds);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    request,
    fetch: (url, init) => fetchThrough(request, url, init),
    // Idle connections are closed, requests under way are cut off: their callers have gone.
    close: () => agent.destroy(),
  };
}

function checkedUrl(address: string, allowHttp: boolean): URL {
  if (!URL.canParse(address))
    throw new BrokerError('upstream_unavailable', 'the address is not a URL', { reason: 'invalid_url' });
  const url = new URL(address);
  if (url.username !== '' || url.password !== '')
    throw failure('invalid_url', url, 'an address may not carry a user name or password');
  if (url.protocol === 'https:' || (url.protocol === 'http:' && allowHttp)) return url;
  throw failure('http_not_allowed', url, 'only https is allowed');
}

/** Literal addresses never reach the lookup, names always do: both are checked here, at the moment of connecting. */
function guardedConnector(
  guard: AddressGuard,
  resolveHost: (hostname: string) => Promise<LookupAddress[]>,
  timeoutSeconds: number,
): buildConnector.connector {
  const connect = buildConnector({
    timeout: timeoutSeconds * 1_000,
    lookup: (hostname, { all, family }, callback) => {
      resolveHost(hostname).then(
        (found) => {
          const allowed = found.filter(({ address }) => guard.allows(hostname, address));
          const [first] = family === 4 || family === 6 ? allowed.filter((each) => each.family === family) : allowed;
          if (first === undefined) callback(new BlockedAddressError(), '', 4);
          else if (all) callback(null, allowed);
          else callback(null, first.address, first.family);
        },
        (error: NodeJS.ErrnoException) => callback(error, '', 4),
      );
    },
  });
  return (options, callback) => {
    if (isIP(options.hostname) !== 0 && !guard.allows(options.hostname, options.hostname))
      callback(new BlockedAddressError(), null);
    else connect(options, callback);
  };
}

class BlockedAddressError extends Error {
  override readonly name = 'BlockedAddressError';
}

class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
}

async function exchange(
  agent: Agent,
  url: URL,
  wanted: OutboundRequest,
  signal: AbortSignal,
  maxBytes: number,
): Promise<OutboundResponse> {
  const response = await agent.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: (wanted.method ?? 'GET') as Dispatcher.HttpMethod,
    headers: { 'user-agent': 'Rollcall', ...wanted.headers, 'accept-encoding': 'identity' },
    body: wanted.body ?? null,
    signal,
  });
  const headers = flatten(response.headers);
  try {
    const body = await readBody(response.body, maxBytes);
    return { status: response.statusCode, headers, body: await decompress(body, headers['content-encoding'], maxBytes) };
  } catch (error) {
    response.body.destroy();
    throw error;
  }
}

async function readBody(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.length;
    if (total > maxBytes) throw new TooLargeError();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, total);
}

const decoders = { gzip: promisify(gunzip), deflate: promisify(inflate), br: promisify(brotliDecompress) } as const;

/** Some servers compress although they were asked not to. */
async function decompress(body: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase();
  if (body.length === 0 || name === undefined || name === '' || name === 'identity') return body;
  if (name !== 'gzip' && name !== 'deflate' && name !== 'br')
    throw new Error(`the content encoding "${name.slice(0, 40)}" is not known`);
  try {
    return await decoders[name](body, { maxOutputLength: maxBytes });
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? new TooLargeError() : error;
  }
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  );
}

function redirectTarget(response: OutboundResponse, from: URL, method = 'GET'): URL | null {
  const { location } = response.headers;
  if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined || !['GET', 'HEAD'].includes(method))
    return null;
  if (!URL.canParse(location, from)) throw failure('redirect', from, 'a redirect to what is not a URL');
  return new URL(location, from);
}

/** RFC 9110 15.4: credentials meant for one origin do not go to another. */
function headersFor(headers: Readonly<Record<string, string>>, from: URL, to: URL): Readonly<Record<string, string>> {
  if (from.origin === to.origin) return headers;
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !['authorization', 'cookie'].includes(name.toLowerCase())),
  );
}

async function fetchThrough(request: OutboundHttp['request'], url: string | URL, init: RequestInit = {}): Promise<Response> {
  // The standard class reads every shape of body and headers; it is never sent. The real address is checked by `request`.
  const { method, headers } = new Request('https://unused.invalid', { ...init, signal: null });
  const text = init.body === undefined || init.body === null ? undefined : await new Response(init.body).text();
  const response = await request(String(url), {
    method,
    headers: Object.fromEntries(headers),
    ...(text === undefined ? {} : { body: text }),
    ...(init.signal ? { signal: init.signal } : {}),
    followRedirects: init.redirect === 'follow',
  });
  if (init.redirect === 'error' && response.status >= 300 && response.status < 400)
    throw failure('redirect', new URL(url), 'a redirect');
  const { 'content-encoding': _, 'content-length': __, ...kept } = response.headers;
  const bodiless = [204, 205, 304].includes(response.status);
  return new Response(bodiless ? null : new Uint8Array(response.body), { status: response.status, headers: kept });
}

function failure(reason: OutboundReason, url: URL, detail: string, cause?: unknown): BrokerError {
  return new BrokerError('upstream_unavailable', `${url.origin}: ${detail}`, {
    reason,
    ...(cause === undefined ? {} : { cause }),
  });
}

function asFailure(error: unknown, url: URL, timedOut: boolean, timeoutSeconds: number): unknown {
  if (error instanceof BrokerError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error instanceof BlockedAddressError) {
    return failure(
      'blocked_address',
      url,
      'the address is private, loopback or reserved; outbound.allowedPrivateAddresses can allow it',
      error,
    );
  }
  if (error instanceof TooLargeError) return failure('too_large', url, 'the answer is larger than allowed', error);
  if (timedOut || /TIMEOUT|ETIMEDOUT/.test(code))
    return failure('timeout', url, `no complete answer within ${timeoutSeconds} s`, error);
  if (/^(ENOTFOUND|EAI_)/.test(code)) return failure('dns', url, `the host name cannot be resolved (${code})`, error);
  return failure('connect', url, `the request failed${code === '' ? '' : ` (${code})`}`, error);
}
