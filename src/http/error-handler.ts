import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { BrokerError, toBrokerError } from '../domain/broker-error.ts';
import type { Log } from '../infra/log.ts';
import { isDatabaseUnavailable } from '../infra/postgres.ts';
import { noteFacts, requestIdOf } from './access-log.ts';
import { renderErrorPage, sendPage } from './pages.ts';
import { problemMediaType, problemOf } from './problem.ts';

/** How an error is shown: the API answers with problem documents, everything else with pages. */
export type ShowError = (error: BrokerError, req: Request, res: Response) => void;

export const showProblem: ShowError = (error, req, res) => {
  res
    .status(error.face.status)
    .type(problemMediaType)
    .send(JSON.stringify(problemOf(error, requestIdOf(req))));
};

export const showPage: ShowError = (error, req, res) => {
  sendPage(res, error.face.status, renderErrorPage({ error, reference: requestIdOf(req) }));
};

export const unknownPath: RequestHandler = () => {
  throw new BrokerError('not_found', 'no route has this path and method');
};

/** The last stop of everything thrown: one line in the log, one answer that says no more than the error table does. */
export function createErrorHandler({ log, show }: { readonly log: Log; readonly show: ShowError }): ErrorRequestHandler {
  return (thrown, req, res, _next) => {
    const error = brokerErrorOf(thrown);
    noteFacts(res, { code: error.code });
    const requestId = requestIdOf(req);
    if (error.face.status >= 500) log.error({ requestId, code: error.code, reason: error.reason, err: error }, 'request failed');
    else log.debug({ requestId, code: error.code, reason: error.reason, err: error }, 'request refused');
    // The head is out, and the rest would be read as part of what began well: the break must show.
    if (res.headersSent) {
      res.destroy();
      return;
    }
    setRetryAfter(res, error);
    show(error, req, res);
  };
}

const retryAfterSeconds = { unavailable: '5', upstream_unavailable: '30' } as const;

/** RFC 9110 10.2.3. The rate limit sets its own. */
export function setRetryAfter(res: Response, { code }: BrokerError): void {
  if (code in retryAfterSeconds && !res.hasHeader('retry-after')) {
    res.setHeader('retry-after', retryAfterSeconds[code as keyof typeof retryAfterSeconds]);
  }
}

export function brokerErrorOf(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown;
  if (isDatabaseUnavailable(thrown)) return new BrokerError('unavailable', 'Postgres cannot be reached', { cause: thrown });
  return fromFramework(thrown) ?? toBrokerError(thrown);
}

/** What Express and body-parser throw carries a type and a status; anything else that fails is our own mistake. */
function fromFramework(thrown: unknown): BrokerError | null {
  if (!(thrown instanceof Error)) return null;
  const { type, status } = thrown as { type?: unknown; status?: unknown };
  if (thrown instanceof URIError && status === 400)
    return new BrokerError('not_found', 'the path is not valid', { cause: thrown });
  if (typeof type !== 'string' || typeof status !== 'number') return null;
  if (status === 413) return new BrokerError('payload_too_large', `the body is refused: ${type}`, { cause: thrown });
  if (status === 415) {
    return new BrokerError('invalid_request', `the body is refused: ${type}`, {
      cause: thrown,
      reason: 'unsupported_media_type',
    });
  }
  return status >= 400 && status < 500
    ? new BrokerError('invalid_request', `the body is refused: ${type}`, { cause: thrown, reason: 'malformed_body' })
    : null;
}
