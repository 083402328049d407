import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { errors, KoaContextWithOIDC } from 'oidc-provider';
import { BrokerError } from '../domain/broker-error.ts';
import type { Log } from '../infra/log.ts';
import { uniqueId } from '../infra/unique-id.ts';
import { toLibraryError, toPageError } from './provider-error.ts';

/** @returns the whole page, as HTML; its status is that of the error's table */
export type RenderError = (failure: {
  readonly error: BrokerError;
  /** Stands in the log line too. */
  readonly reference: string;
  readonly request: IncomingMessage;
}) => string | Promise<string>;

// No `form-action`: the page of response_mode=form_post posts to the app, and a logout form is redirected there.
// The library adds the hash of its own script to `script-src`.
const contentSecurityPolicy = "default-src 'none';style-src 'unsafe-inline';script-src;base-uri 'none';frame-ancestors 'none'";

const retryAfterSeconds = '5';

/** Errors on the provider's own addresses: a page in our words for people, a line in the log for operators, the same reference in both. */
export function createFailurePages(deps: { readonly log: Log; readonly now: () => Date; readonly renderError: RenderError }) {
  const { log, now, renderError } = deps;
  const references = new WeakMap<IncomingMessage, string>();

  /** The id that the server around us gave the request and writes into its own lines; else one of our own. */
  function referenceOf(request: IncomingMessage & { readonly id?: unknown }): string {
    if (typeof request.id === 'string') return request.id;
    const reference = references.get(request) ?? uniqueId(now());
    references.set(request, reference);
    return reference;
  }

  async function showPage(ctx: PageContext, error: BrokerError): Promise<void> {
    const policy = outerPolicies.get(ctx.req);
    if (policy) ctx.set('Content-Security-Policy', policy);
    ctx.status = error.face.status;
    ctx.type = 'html';
    ctx.body = await renderError({ error, reference: referenceOf(ctx.req), request: ctx.req });
  }

  // What the server around us allows its own pages, which the error page is one of.
  const outerPolicies = new WeakMap<IncomingMessage, string>();

  function describe(ctx: KoaContextWithOIDC, error: Error): object {
    const { error: oauth, error_description: description, error_detail: detail } = error as Partial<errors.OIDCProviderError>;
    const { route, client } = ctx.oidc;
    const { code, reason } = toPageError(error);
    return {
      requestId: referenceOf(ctx.req),
      route,
      clientId: client?.clientId,
      code,
      reason,
      error: oauth,
      description,
      detail,
    };
  }

  return {
    /** The library's `renderError`: called only while there is no validated redirect URI to go back to. */
    show: (ctx: KoaContextWithOIDC, _out: unknown, error: Error): Promise<void> => showPage(ctx, toPageError(error)),

    /** Logs what the library answers as an error. It never throws the error on. */
    watch(provider: EventEmitter): void {
      provider.on('error', (error: Error) => log.error({ err: error }, 'the OpenID Provider failed'));
      provider.on('server_error', (ctx, error) =>
        log.error({ ...describe(ctx, error), err: error }, 'the OpenID Provider failed'),
      );
      for (const event of refusals) {
        provider.on(event, (ctx: KoaContextWithOIDC, error: Error) => {
          const unavailable = error.cause instanceof BrokerError && error.cause.face.status >= 500;
          if (unavailable) log.error({ ...describe(ctx, error), err: error }, 'the OpenID Provider failed');
          else log.info(describe(ctx, error), 'the OpenID Provider refused a request');
        });
      }
    },

    async guard(ctx: PageContext, next: () => Promise<unknown>): Promise<void> {
      const policy = ctx.response.get('Content-Security-Policy');
      if (policy) outerPolicies.set(ctx.req, policy);
      ctx.set('Content-Security-Policy', contentSecurityPolicy);
      try {
        await next();
      } catch (thrown) {
        // The library catches what its own routes throw; this is about what stands around them.
        log.error({ requestId: referenceOf(ctx.req), err: thrown }, 'the OpenID Provider failed');
        await showPage(ctx, toPageError(toLibraryError(thrown)));
      }
      if (ctx.status === 404 && !ctx.body) await showPage(ctx, new BrokerError('not_found', 'the provider has no such address'));
      // RFC 9110 10.2.3: clients of the token endpoint come again by themselves.
      if (ctx.status === 503) ctx.set('Retry-After', retryAfterSeconds);
    },
  };
}

type PageContext = Pick<KoaContextWithOIDC, 'req' | 'response' | 'set' | 'status' | 'type' | 'body'>;

const refusals = [
  'authorization.error',
  'grant.error',
  'userinfo.error',
  'end_session.error',
  'end_session_confirm.error',
  'discovery.error',
  'jwks.error',
] as const;
