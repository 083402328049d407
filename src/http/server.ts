import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express } from 'express';
import helmet from 'helmet';
import type { Log } from '../infra/log.ts';
import type { Metrics } from '../infra/metrics.ts';
import type { Settings } from '../settings/schema.ts';
import { createAccessLog } from './access-log.ts';
import { type ApiDeps, createApiRoutes } from './api-routes.ts';
import { createErrorHandler, showPage, unknownPath } from './error-handler.ts';
import { createHealthRoutes, type HealthDeps } from './health-routes.ts';
import { createLoginCookies } from './login-cookie.ts';
import { contentSecurityPolicy } from './page-style.ts';
import { onAuthorizationsOnly } from './rate-limit.ts';
import { createRequestMetrics } from './request-metrics.ts';
import { createLoginRoutes, type LoginRouteDeps } from './routes/login.ts';
import { createWebhookJwksRoutes, type WebhookPublicKey } from './routes/webhook-jwks.ts';

export interface HttpServerDeps {
  readonly publicUrl: string;
  readonly settings: Settings['http'];
  readonly pendingLoginSeconds: number;
  readonly log: Log;
  readonly now: () => Date;
  /** The OpenID Provider, mounted at /oidc; it reads its own bodies and shows its own errors. */
  readonly oidcHandler: (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  readonly login: Omit<LoginRouteDeps, 'publicUrl' | 'maxFormBytes' | 'cookies'>;
  readonly api: Omit<ApiDeps, 'publicUrl' | 'maxJsonBytes' | 'log' | 'now'>;
  /** All that sign now. */
  readonly webhookKeys: () => readonly WebhookPublicKey[];
  readonly checkDatabase: HealthDeps['checkDatabase'];
  readonly metrics: Pick<Metrics, 'text' | 'contentType' | 'observeHttpRequest'>;
}

export interface HttpServer {
  readonly app: Express;
  /** @returns the port that was given, where 0 was asked for */
  listen(address: { readonly host: string; readonly port: number }): Promise<number>;
  /** Takes no more connections, lets requests end for `drainSeconds`, then cuts what is left. */
  close(): Promise<void>;
}

/** Everything that Rollcall answers: the OpenID Provider, the login routes, the API, the probes. */
export function createHttpServer(deps: HttpServerDeps): HttpServer {
  const { publicUrl, settings, metrics, log, now } = deps;
  let draining = false;
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('query parser', 'simple');
  app.set('case sensitive routing', true);
  // Whose X-Forwarded-For to believe: as many proxies as the settings say, counted from here.
  app.set('trust proxy', settings.trustedProxies);

  app.use(createAccessLog({ log, now }));
  app.use(createRequestMetrics(metrics));
  app.use(createSecurityHeaders(publicUrl));
  app.use('/oidc', onAuthorizationsOnly(deps.login.limits.authorize), (req, res, next) => {
    deps.oidcHandler(req, res).catch(next);
  });
  const cookies = createLoginCookies({ publicUrl, lifetimeSeconds: deps.pendingLoginSeconds });
  app.use(createLoginRoutes({ ...deps.login, publicUrl, maxFormBytes: settings.maxFormBytes, cookies }));
  app.use('/v1', createApiRoutes({ ...deps.api, publicUrl, maxJsonBytes: settings.maxJsonBytes, log, now }));
  app.use(createWebhookJwksRoutes(deps));
  app.use(createHealthRoutes({ checkDatabase: deps.checkDatabase, metrics, isDraining: () => draining }));
  app.use(unknownPath);
  app.use(createErrorHandler({ log, show: showPage }));

  const server = createServer(app);
  server.requestTimeout = settings.requestTimeoutSeconds * 1_000;
  server.headersTimeout = Math.min(settings.requestTimeoutSeconds, 20) * 1_000;
  // Longer than the idle time of common load balancers (60 s), which would otherwise reuse a connection as it closes.
  server.keepAliveTimeout = 65_000;

  return {
    app,

    async listen({ host, port }) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject);
      server.listen(port, host, resolve);
      await promise;
      server.off('error', reject);
      return (server.address() as AddressInfo).port;
    },

    async close() {
      draining = true;
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), settings.drainSeconds * 1_000);
      await promise;
      clearTimeout(cut);
    },
  };
}

function createSecurityHeaders(publicUrl: string) {
  return helmet({
    contentSecurityPolicy: { useDefaults: false, directives: contentSecurityPolicy },
    // An app may open the login in a window of its own: isolating it would cut that window off from the app.
    crossOriginOpenerPolicy: false,
    crossOriginResourcePolicy: false,
    originAgentCluster: false,
    // The origin only: ids in paths stay here, and IdPs that look at Origin do not get "null".
    referrerPolicy: { policy: 'strict-origin' },
    strictTransportSecurity: publicUrl.startsWith('https:') ? { maxAge: 31_536_000, includeSubDomains: false } : false,
    xFrameOptions: { action: 'deny' },
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    xPoweredBy: false,
  });
}
