import type { Request, RequestHandler, Response } from 'express';
import { BrokerError } from '../domain/broker-error.ts';
import { noteFacts } from './access-log.ts';
import type { ApiKeyHolder } from './api-key-store.ts';

const holders = new WeakMap<Request, ApiKeyHolder>();

/**
 * Demands a valid API key (RFC 6750 2.1), and one that may write where the method writes.
 * @throws (through Express) BrokerError `unauthorized`, `forbidden`
 */
export function createAdminAuth(deps: {
  readonly find: (key: string) => Promise<ApiKeyHolder | null>;
  /** Requests that change nothing, whatever their method. */
  readonly isRead?: (req: Request) => boolean;
}): RequestHandler {
  const { find, isRead = () => false } = deps;
  return async (req, res, next) => {
    const key = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(req.headers.authorization ?? '')?.[1];
    const holder = key === undefined ? null : await find(key);
    if (holder === null) {
      challenge(res, key !== undefined);
      throw new BrokerError('unauthorized', 'no valid API key', { reason: key === undefined ? 'key_missing' : 'key_invalid' });
    }
    holders.set(req, holder);
    noteFacts(res, { apiKeyId: holder.keyId });
    if (holder.readOnly && req.method !== 'GET' && req.method !== 'HEAD' && !isRead(req)) {
      throw new BrokerError('forbidden', 'the API key may read only', { reason: 'key_read_only' });
    }
    next();
  };
}

/** RFC 6750 3: the error is named only where a key was given. */
function challenge(res: Response, given: boolean): void {
  res.setHeader('www-authenticate', `Bearer realm="rollcall"${given ? ', error="invalid_token"' : ''}`);
}

/** Who makes this request. */
export function holderOf(req: Request): ApiKeyHolder {
  const holder = holders.get(req);
  if (!holder) throw new BrokerError('internal', 'a route of the API runs without authentication');
  return holder;
}

/** R13: for what belongs to no single workspace. */
export const instanceScope: RequestHandler = (req, _res, next) => {
  if (holderOf(req).workspaceId !== null) {
    throw new BrokerError('forbidden', 'this needs a key of instance scope', { reason: 'instance_scope_required' });
  }
  next();
};

/**
 * Whether the key may see what belongs to this workspace (null: to the instance).
 * @throws BrokerError `not_found`, as if it did not exist: another tenant's object is none of the holder's business
 */
export function checkVisible(req: Request, workspaceId: string | null): void {
  const holder = holderOf(req);
  if (holder.workspaceId !== null && holder.workspaceId !== workspaceId) {
    throw new BrokerError('not_found', 'it belongs to another workspace than the key');
  }
}
