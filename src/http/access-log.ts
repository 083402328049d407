import type { IncomingMessage, ServerResponse } from 'node:http';
import { pinoHttp } from 'pino-http';
import type { Log } from '../infra/log.ts';
import { uniqueId } from '../infra/unique-id.ts';

/** What a route adds to the line of its request: ids only (law 9). */
export interface RequestFacts {
  loginId?: string;
  connectionId?: string;
  /** Id of the API key that made the request. */
  apiKeyId?: string;
  /** Code of the refusal that the outsider saw. */
  code?: string;
}

const facts = new WeakMap<ServerResponse, RequestFacts>();

/** Adds ids to the request's line in the log. */
export function noteFacts(res: ServerResponse, more: RequestFacts): void {
  facts.set(res, { ...facts.get(res), ...more });
}

/** The id under which the request's lines are found; also in the answer's `x-request-id`. */
export function requestIdOf(req: IncomingMessage): string {
  return String(req.id);
}

/**
 * Gives each request an id and writes one line when it ends: method, path, status, time. Never a query string, header, cookie or
 * body: they carry codes, tokens and e-mail addresses.
 */
export function createAccessLog({ log, now }: { readonly log: Log; readonly now: () => Date }) {
  return pinoHttp({
    logger: log,
    customAttributeKeys: { reqId: 'requestId' },
    quietReqLogger: true,
    quietResLogger: true,
    wrapSerializers: false,
    serializers: { req: () => undefined },
    genReqId: (req, res) => {
      const inbound = req.headers['x-request-id'];
      const id = typeof inbound === 'string' && saneId.test(inbound) ? inbound : uniqueId(now());
      res.setHeader('x-request-id', id);
      return id;
    },
    customLogLevel: (req) => (isProbe(req) ? 'debug' : 'info'),
    customSuccessObject: (req, res, { responseTime }) => line(req, res, responseTime),
    customErrorObject: (req, res, _error, { responseTime }) => line(req, res, responseTime),
    customSuccessMessage: (_req, res) => (res.writableFinished ? 'request' : 'request aborted'),
    customErrorMessage: () => 'request',
  });
}

/** Ids of proxies and callers are taken over where they cannot break a log line or a page. */
const saneId = /^[A-Za-z0-9._-]{8,64}$/;

function line(req: IncomingMessage, res: ServerResponse, milliseconds: number) {
  return { method: req.method, path: loggedPath(req), status: res.statusCode, milliseconds, ...facts.get(res) };
}

/** A path without query; paths with anything but plain characters are none of ours and could carry anything. */
function loggedPath(req: { readonly originalUrl?: string; readonly url?: string }): string {
  const [path = ''] = (req.originalUrl ?? req.url ?? '').split('?', 1);
  return /^\/[\w./~-]{0,199}$/.test(path) ? path : '(unusual)';
}

function isProbe(req: IncomingMessage): boolean {
  return req.url === '/livez' || req.url === '/readyz' || req.url === '/metrics';
}
