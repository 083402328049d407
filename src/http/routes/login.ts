import { type Request, type RequestHandler, type Response, Router, urlencoded } from 'express';
import { z } from 'zod';
import { BrokerError, type BrokerErrorCode, errorFaces } from '../../domain/broker-error.ts';
import { isUniqueId } from '../../infra/unique-id.ts';
import type { LoginAnswer, LoginResult } from '../../login/complete.ts';
import type { LoginOutcome } from '../../login/pending-login-store.ts';
import type { RefusedLogin } from '../../login/refusal.ts';
import type { LoginRequest, LoginStep } from '../../login/start.ts';
import type { OpenIdProvider } from '../../provider/provider.ts';
import { noteFacts } from '../access-log.ts';
import { setRetryAfter } from '../error-handler.ts';
import type { LoginCookies } from '../login-cookie.ts';
import { renderChooserPage, renderErrorPage, renderPostPage, sendPage } from '../pages.ts';

export interface LoginRouteDeps {
  readonly publicUrl: string;
  readonly maxFormBytes: number;
  readonly cookies: LoginCookies;
  /** The OpenID Provider's side of a login, found by its interaction cookie. */
  readonly provider: LoginProvider;
  readonly startLogin: (request: LoginRequest) => Promise<LoginStep>;
  readonly completeSaml: (answer: LoginAnswer & { readonly samlResponse: string }) => Promise<LoginResult>;
  readonly completeOidc: (answer: LoginAnswer & { readonly callbackUrl: URL }) => Promise<LoginResult>;
  readonly takeOutcome: (interactionUid: string) => Promise<LoginOutcome | null>;
  /** The service provider's metadata for one SAML connection; null: no such connection. */
  readonly renderMetadata: (connectionId: string) => Promise<string | null>;
  /** R35: where people can sign in otherwise while the licence does not allow it. */
  readonly otherSignInUrl?: string | null;
  /** Limits per address; each counts for itself. `authorize`: requests of apps that begin a login at the provider. */
  readonly limits: { readonly authorize: RequestHandler; readonly start: RequestHandler; readonly answer: RequestHandler };
}

/** What these routes need of `provider/`. All throw `login_expired` when this browser is in no interaction of this address. */
export type LoginProvider = Pick<OpenIdProvider, 'interaction' | 'finishSignedIn' | 'finishRefused'>;

/** The browser's way through one login: away to the IdP, back with its answer, on to the app. */
export function createLoginRoutes(deps: LoginRouteDeps): Router {
  const { provider, cookies, limits } = deps;
  const router = Router({ caseSensitive: true, strict: true });
  // Only `SAMLResponse` and `RelayState` are read; some IdPs add fields of their own. No browser compresses a form.
  const form = urlencoded({ extended: false, limit: deps.maxFormBytes, parameterLimit: 20, inflate: false });

  router.get('/interaction/:uid', getOnly, limits.start, async (req, res) => {
    // The chooser page adds its choice to the address; what the app asked for still narrows it.
    await start(req, res, { connection: startQuery.safeParse(req.query).data?.connection });
  });

  // The address that was typed on the chooser page. It is posted: addresses of pages are logged and remembered.
  router.post('/interaction/:uid', limits.start, form, async (req, res) => {
    await start(req, res, { email: startForm.safeParse(req.body).data?.email ?? '' });
  });

  async function start(req: Request, res: Response, chosen: { connection?: string | undefined; email?: string }): Promise<void> {
    const { uid, parameters } = await provider.interaction(req, res);
    const step = await deps.startLogin({
      interactionUid: uid,
      workspace: parameters.workspace,
      connection: parameters.connection ?? chosen.connection,
      loginHint: parameters.login_hint,
      email: chosen.email,
      // How long ago the IdP saw the person is known only afterwards; seeing them anew satisfies every max_age.
      reauthenticate: parameters.prompt === 'login' || parameters.max_age !== undefined,
    });
    goTo(req, res, uid, step, chosen.email);
  }

  router.get('/interaction/:uid/finish', getOnly, async (req, res) => {
    // The interaction first: whoever lacks its cookie must not use up the outcome.
    const { uid } = await provider.interaction(req, res);
    const outcome = await deps.takeOutcome(uid);
    if (outcome === null) throw new BrokerError('login_expired', 'no outcome is waiting', { reason: 'no_outcome' });
    noteFacts(res, { loginId: outcome.loginId });
    if (outcome.kind === 'signed_in') return provider.finishSignedIn(req, res, outcome);
    await provider.finishRefused(req, res, { error: refusalOf(outcome), loginId: outcome.loginId });
  });

  router.post('/saml/:connection/acs', limits.answer, form, async (req, res) => {
    const connectionId = connectionIdOf(req);
    const { SAMLResponse: samlResponse, RelayState: pendingId } = parseAnswer(samlAnswer, req.body);
    const answer = { connectionId, pendingId, browserToken: cookies.read(req, pendingId) };
    show(res, connectionId, pendingId, await deps.completeSaml({ ...answer, samlResponse }));
  });

  router.get('/callback/:connection', getOnly, limits.answer, async (req, res) => {
    const connectionId = connectionIdOf(req);
    const { state: pendingId } = parseAnswer(oidcAnswer, req.query);
    const answer = { connectionId, pendingId, browserToken: cookies.read(req, pendingId) };
    show(res, connectionId, pendingId, await deps.completeOidc({ ...answer, callbackUrl: callbackUrlOf(req, connectionId) }));
  });

  router.get('/saml/:connection/metadata', async (req, res) => {
    const metadata = await deps.renderMetadata(connectionIdOf(req));
    if (metadata === null) throw new BrokerError('not_found', 'no SAML connection has this id');
    // SAML Metadata 4.1.1.
    res.type('application/samlmetadata+xml').send(metadata);
  });

  return router;

  function goTo(req: Request, res: Response, interactionUid: string, step: LoginStep, email = ''): void {
    switch (step.kind) {
      case 'choose':
        sendPage(res, 200, renderChooserPage({ interactionUid, ...step, email }));
        break;
      case 'refused':
        showRefusal(res, step);
        break;
      case 'post':
        cookies.set(req, res, step.cookie);
        sendPage(res, 200, renderPostPage(step));
        break;
      case 'redirect':
        cookies.set(req, res, step.cookie);
        seeOther(res, step.url);
        break;
      default:
        step satisfies never;
    }
  }

  function show(res: Response, connectionId: string, pendingId: string, result: LoginResult): void {
    noteFacts(res, { loginId: result.loginId, connectionId });
    if (result.kind === 'signed_in') {
      cookies.clear(res, pendingId);
      seeOther(res, `/interaction/${result.interactionUid}/finish`);
      return;
    }
    showRefusal(res, result);
  }

  function showRefusal(res: Response, { error, loginId: reference, interactionUid }: RefusedLogin): void {
    noteFacts(res, { loginId: reference, code: error.code });
    setRetryAfter(res, error);
    const back = interactionUid === null ? {} : { back: `/interaction/${interactionUid}/finish` };
    const otherSignInUrl = error.code.startsWith('licence_') ? (deps.otherSignInUrl ?? null) : null;
    sendPage(res, error.face.status, renderErrorPage({ error, reference, ...back, otherSignInUrl }));
  }

  /** From the configured address, whatever Host and path form the request came with: the token request repeats it. */
  function callbackUrlOf(req: Request, connectionId: string): URL {
    const url = new URL(`/callback/${connectionId}`, deps.publicUrl);
    const at = req.originalUrl.indexOf('?');
    url.search = at < 0 ? '' : req.originalUrl.slice(at);
    return url;
  }
}

const startQuery = z.object({ connection: z.string().optional() });
const startForm = z.object({ email: z.string().max(320).optional() });
const samlAnswer = z.object({ SAMLResponse: z.string().min(1), RelayState: z.string().default('') });
const oidcAnswer = z.object({ state: z.string().default('') });

/** A field that is missing or there twice: which of two was meant is not for us to guess. */
function parseAnswer<Schema extends z.ZodType>(schema: Schema, fields: unknown): z.output<Schema> {
  if (fields === undefined) {
    throw new BrokerError('invalid_request', 'the answer of the identity provider is no form', {
      reason: 'unsupported_media_type',
    });
  }
  const parsed = schema.safeParse(fields);
  if (parsed.success) return parsed.data;
  const names = [...new Set(parsed.error.issues.map(({ path }) => path.join('.')))].join(', ');
  throw new BrokerError('invalid_request', `missing or doubled in the identity provider's answer: ${names}`, {
    reason: 'malformed_answer',
  });
}

function connectionIdOf(req: Request): string {
  const { connection } = req.params;
  if (typeof connection === 'string' && isUniqueId(connection)) return connection;
  throw new BrokerError('not_found', 'the path names no connection', { reason: 'no_connection' });
}

/** Express answers HEAD with the GET route, which here starts or finishes a login: link checkers must not. */
const getOnly: RequestHandler = (req, _res, next) => {
  next(req.method === 'GET' ? undefined : new BrokerError('not_found', 'this path answers GET only'));
};

function refusalOf({ code, reason }: LoginOutcome & { kind: 'refused' }): BrokerError {
  const known: BrokerErrorCode = code in errorFaces ? (code as BrokerErrorCode) : 'internal';
  return new BrokerError(known, 'the login was refused', reason === null ? {} : { reason });
}

function seeOther(res: Response, location: string): void {
  res.setHeader('cache-control', 'no-store');
  res.setHeader('location', location);
  res.status(303).end();
}
