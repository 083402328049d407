import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { BrokerError } from '../domain/broker-error.ts';
import type { Log } from '../infra/log.ts';
import { requestIdOf } from './access-log.ts';
import { holderOf } from './admin-auth.ts';
import { type Answer, beforeAnswer } from './before-answer.ts';
import type { IdempotencyStore, StoredAnswer } from './idempotency-store.ts';

const bodyHashes = new WeakMap<IncomingMessage, Buffer>();

/** For the body parser's `verify`: the bytes are gone once they are parsed. */
export function noteBody(req: IncomingMessage, _res: unknown, bytes: Buffer): void {
  if (req.headers['idempotency-key'] !== undefined) bodyHashes.set(req, createHash('sha256').update(bytes).digest());
}

/**
 * `Idempotency-Key`: a POST that is sent again gets the answer of the first time. Only answers of success are kept: a refused request
 * changed nothing, and may be corrected and sent with the same key.
 * @param deps `isRead`: POSTs that change nothing need no memory
 */
export function createIdempotency(deps: {
  readonly store: IdempotencyStore;
  readonly isRead: (req: Request) => boolean;
  readonly log: Log;
}): RequestHandler {
  const { store, isRead, log } = deps;
  return async (req, res, next) => {
    const key = req.method === 'POST' ? keyOf(req) : null;
    if (key === null || isRead(req)) return next();
    const claim = await store.claim({
      apiKeyId: holderOf(req).keyId,
      key,
      requestHash: requestHashOf(req),
      method: req.method,
      path: req.originalUrl.slice(0, 2_000),
    });
    switch (claim.kind) {
      case 'claimed':
        beforeAnswer(res, (answer) =>
          settle(claim.claimId, answer).catch((error: unknown) => {
            // The change is made. The key stays claimed, so that a repetition in the next minutes is refused, not executed.
            log.error(
              { err: error, requestId: requestIdOf(req) },
              'the answer to a request with an Idempotency-Key was not kept',
            );
          }),
        );
        return next();
      case 'answered':
        return sendAgain(res, claim.answer);
      case 'reused':
        throw new BrokerError('idempotency_key_reused', 'the Idempotency-Key came with another request before');
      case 'under_way':
        res.setHeader('retry-after', '1');
        throw new BrokerError('conflict', 'the same request is under way', { reason: 'idempotency_key_in_use' });
      default:
        claim satisfies never;
    }
  };

  async function settle(claimId: string, { status, body, header }: Answer): Promise<void> {
    if (status >= 400) return store.release(claimId);
    const headers = keptHeaders.flatMap((name) => {
      const value = header(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    // Of a streamed answer it is kept only that there was one.
    await store.complete(claimId, { status, headers: Object.fromEntries(headers), body: body ?? '' });
  }
}

const keptHeaders = ['content-type', 'location', 'etag'] as const;

function sendAgain(res: Response, { status, headers, body }: StoredAnswer): void {
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  res.setHeader('idempotent-replayed', 'true');
  res.status(status);
  if (body === '') res.end();
  else res.send(body);
}

function keyOf(req: Request): string | null {
  const key = req.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new BrokerError('invalid_request', 'the Idempotency-Key is not 1 to 255 visible ASCII characters', {
    reason: 'idempotency_key_malformed',
  });
}

function requestHashOf(req: Request): Buffer {
  const hash = createHash('sha256').update(`${req.method}\n${req.originalUrl}\n`);
  return hash.update(bodyHashes.get(req) ?? Buffer.alloc(0)).digest();
}
