import { type Adapter, errors } from 'oidc-provider';
import { BrokerError } from '../domain/broker-error.ts';
import { isDatabaseUnavailable } from '../infra/postgres.ts';

/**
 * Our errors as the library understands them, so that a store or database which is away becomes `temporarily_unavailable` for the
 * app instead of a `server_error`. Everything else stays as it is: the library logs it by its `server_error` event and says nothing.
 */
export function toLibraryError(thrown: unknown): unknown {
  const known = isDatabaseUnavailable(thrown)
    ? new BrokerError('unavailable', 'Postgres cannot be reached', { cause: thrown })
    : thrown;
  if (!(known instanceof BrokerError)) return thrown;
  const { oauth, title, status } = known.face;
  const error = new errors.CustomOIDCProviderError(oauth, title, { cause: known, detail: known.message });
  error.status = status;
  error.statusCode = status;
  return error;
}

/** The same adapter with every error translated by `toLibraryError`. */
export function translated(adapter: Adapter): Adapter {
  return {
    upsert: (...given) => adapter.upsert(...given).catch(rethrowTranslated),
    find: (...given) => adapter.find(...given).catch(rethrowTranslated),
    findByUserCode: (...given) => adapter.findByUserCode(...given).catch(rethrowTranslated),
    findByUid: (...given) => adapter.findByUid(...given).catch(rethrowTranslated),
    consume: (...given) => adapter.consume(...given).catch(rethrowTranslated),
    destroy: (...given) => adapter.destroy(...given).catch(rethrowTranslated),
    revokeByGrantId: (...given) => adapter.revokeByGrantId(...given).catch(rethrowTranslated),
  };
}

export function rethrowTranslated(thrown: unknown): never {
  throw toLibraryError(thrown);
}

/** What the page says about an error of the library: which happens only while client and redirect URI are not validated. */
export function toPageError(error: unknown): BrokerError {
  if (error instanceof Error && error.cause instanceof BrokerError) return error.cause;
  if (error instanceof errors.SessionNotFound) {
    return new BrokerError('login_expired', error.message, { cause: error, reason: 'interaction_gone' });
  }
  if (error instanceof errors.OIDCProviderError && error.expose) {
    return new BrokerError('invalid_request', error.error_detail ?? error.error_description ?? error.error, {
      cause: error,
      reason: error.error,
    });
  }
  return new BrokerError('internal', 'the OpenID Provider failed', { cause: error });
}

/**
 * What the app is told about a refused login (RFC 6749 4.1.2.1): the error code, and a description of plain words, the reason code
 * and the reference that finds the login's trace. Only the characters which the RFC allows: no quotes, backslashes or line ends.
 */
export function oauthError(
  error: BrokerError,
  reference: string,
): { readonly error: string; readonly error_description: string } {
  const code = error.reason === undefined ? error.code : `${error.code}, ${error.reason}`;
  const description = `${error.face.title} (${code}; reference ${reference})`;
  return { error: error.face.oauth, error_description: description.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '') };
}
