import type { IncomingMessage, ServerResponse } from 'node:http';
import { BrokerError } from '../../src/domain/broker-error.ts';
import { createHttpServer, type HttpServer, type HttpServerDeps } from '../../src/http/server.ts';
import { createLog } from '../../src/infra/log.ts';
import { createMetrics } from '../../src/infra/metrics.ts';
import { createDatabase } from '../../src/infra/postgres.ts';
import type { LoginResult } from '../../src/login/complete.ts';
import type { LoginOutcome } from '../../src/login/pending-login-store.ts';
import type { LoginStep } from '../../src/login/start.ts';
import { apiOn } from './api-stores.ts';

export const connectionId = '01890000-0000-7000-8000-000000000001';
export const loginId = '01890000-0000-7000-8000-00000000000f';
export const pendingId = 'p'.repeat(43);
export const interactionUid = 'interaction-of-this-browser';

/** Lines that the server logged, parsed. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The line of the request, written when it ended. */
export function accessLine(lines: readonly LogLine[]): LogLine | undefined {
  return lines.find(({ msg }) => msg === 'request');
}

export interface TestServer extends HttpServer {
  readonly lines: LogLine[];
  readonly logText: () => string;
}

type LoginDeps = HttpServerDeps['login'];
export type TestServerOptions = Partial<Omit<HttpServerDeps, 'login' | 'settings' | 'api'>> & {
  readonly login?: Partial<LoginDeps>;
  readonly settings?: Partial<HttpServerDeps['settings']>;
  readonly api?: HttpServerDeps['api'];
};

/** The real server with every dependency replaced by the least that works: a login that succeeds, an API that is away. */
export function aServer({ login, settings, api, ...rest }: TestServerOptions = {}): TestServer {
  const written: string[] = [];
  const log = createLog({ level: 'debug', destination: { write: (line: string) => void written.push(line) } });
  const server = createHttpServer({
    publicUrl: 'https://login.example.com',
    settings: {
      host: '127.0.0.1',
      port: 0,
      trustedProxies: 0,
      maxFormBytes: 100_000,
      maxJsonBytes: 100_000,
      drainSeconds: 1,
      requestTimeoutSeconds: 10,
      loginsPerMinutePerAddress: 1_000,
      ...settings,
    },
    pendingLoginSeconds: 600,
    log,
    now: () => new Date(),
    oidcHandler: async (_req: IncomingMessage, res: ServerResponse) => void res.end('the provider'),
    login: { ...defaultLogin, ...login },
    api: api ?? absent,
    webhookKeys: () => [],
    checkDatabase: async () => {},
    metrics: createMetrics(),
    ...rest,
  });
  return {
    ...server,
    logText: () => written.join(''),
    get lines() {
      return written.map((line) => JSON.parse(line) as LogLine);
    },
  };
}

const redirectStep: LoginStep = {
  kind: 'redirect',
  url: 'https://idp.example.com/sso?SAMLRequest=x',
  cookie: { pendingId, value: 'browser-token' },
};

export const signedIn: LoginResult = { kind: 'signed_in', interactionUid, loginId };

function unlimited(_req: unknown, _res: unknown, next: () => void): void {
  next();
}

const defaultLogin: LoginDeps = {
  provider: {
    async interaction(req) {
      const uid = /^\/interaction\/([^/?]+)/.exec((req as { originalUrl?: string }).originalUrl ?? '')?.[1];
      if (uid !== interactionUid) throw new BrokerError('login_expired', 'no such interaction', { reason: 'interaction_gone' });
      return { uid, clientId: 'app', clientName: 'App', parameters: {} };
    },
    finishSignedIn: async (_req, res, { userId }) => back(res, `https://app.example.com/callback?code=for-${userId}`),
    finishRefused: async (_req, res, { error }) => back(res, `https://app.example.com/callback?error=${error.face.oauth}`),
  },
  startLogin: async () => redirectStep,
  completeSaml: async () => signedIn,
  completeOidc: async () => signedIn,
  takeOutcome: async () => signedInOutcome,
  renderMetadata: async (id) => (id === connectionId ? '<EntityDescriptor/>' : null),
  limits: { authorize: unlimited, start: unlimited, answer: unlimited },
};

export const signedInOutcome: LoginOutcome = {
  kind: 'signed_in',
  userId: 'user-1',
  connectionId,
  loginId,
  authenticatedAt: new Date('2030-01-01T00:00:00Z'),
};

function back(res: ServerResponse, location: string): void {
  res.statusCode = 303;
  res.setHeader('location', location);
  res.end();
}

/** The real stores on a database that does not answer: a test that needs the API gives one that does. */
const absent = apiOn(createDatabase({ url: 'postgres://nobody@127.0.0.1:1/none', poolSize: 1, statementTimeoutSeconds: 1 }));
