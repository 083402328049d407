import type { Request, RequestHandler } from 'express';
import type { Metrics } from '../infra/metrics.ts';

/** Measures each request from its head to the end of its answer. */
export function createRequestMetrics({ observeHttpRequest }: Pick<Metrics, 'observeHttpRequest'>): RequestHandler {
  return (req, res, next) => {
    const startedAt = performance.now();
    res.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1_000;
      observeHttpRequest({ method: methodLabel(req.method), route: routeLabel(req), status: res.statusCode, seconds });
    });
    next();
  };
}

/** The provider's own paths; anything else below its mount could be anything. */
const providerPaths = new Set(['auth', 'token', 'me', 'jwks', 'session', '.well-known']);

/**
 * The pattern of the route that answered. Each label value is a series that stays, so ids must not get in: where routers above it
 * have parameters, Express tells their values only.
 */
export function routeLabel(
  req: Pick<Request, 'originalUrl' | 'baseUrl'> & { readonly route?: { readonly path?: unknown } },
): string {
  const [, first, second = ''] = req.originalUrl.split(/[/?]/, 3);
  if (first === 'oidc') return providerPaths.has(second) ? `/oidc/${second}` : '/oidc';
  if (typeof req.route?.path !== 'string') return 'unmatched';
  return (req.baseUrl + req.route.path).replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, ':id');
}

/** Node's parser lets some forty methods through. */
function methodLabel(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other';
}
