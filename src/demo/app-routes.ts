import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express';
import { renderHtml } from '../http/html.ts';
import type { SignedIn } from './app-claims.ts';
import { addCopyRoutes } from './app-copy-routes.ts';
import type { Explanation } from './app-explanation.ts';
import { type AppLogin, type LoginChoice, LoginFailed, type PendingLogin } from './app-login.ts';
import type { MemberCopy } from './app-member-copy.ts';
import { appErrorPage, homePage, type MembershipView, type SignInWays, signInFailedPage } from './app-pages.ts';
import type { Reconciler } from './app-reconcile.ts';
import type { MemberSource } from './app-rollcall-api.ts';
import { webhookList } from './app-webhook-list.ts';
import type { WebhookInbox } from './app-webhooks.ts';
import { cookieOf, fieldOf } from './form-fields.ts';
import { refuseForeignForms } from './local-server.ts';
import type { ShortLived } from './short-lived.ts';

/** Who is signed in, and how they came. */
export interface AppSession {
  readonly signedIn: SignedIn;
  readonly way: string;
}

/** A sign-in on its way, and the name of the button that began it. */
export interface AppPendingLogin {
  readonly pending: PendingLogin;
  readonly way: string;
}

interface Parts {
  readonly url: string;
  readonly idpUrl: string | null;
  readonly login: AppLogin;
  readonly inbox: WebhookInbox;
  readonly copy: MemberCopy;
  readonly source: Pick<MemberSource, 'workspaces'>;
  readonly reconciler: Reconciler;
  readonly explain: (workspaceId: string, userId: string) => Promise<Explanation | null>;
  readonly sessions: ShortLived<AppSession>;
  readonly pendingLogins: ShortLived<AppPendingLogin>;
  /** What each button sends along. */
  readonly choices: { readonly saml: LoginChoice | null; readonly oidc: LoginChoice | null };
  readonly reportError: (error: unknown) => void;
}

// Cookies ignore ports: names of the app's own keep the demo's other servers on this host apart.
const sessionCookie = 'demo_app_session';
const loginCookie = 'demo_app_login';

/** Everything the app answers. */
export function addAppRoutes(app: Express, parts: Parts): void {
  addHomeRoute(app, parts);
  addSignInRoutes(app, parts);
  addWebhookRoutes(app, parts);
  addCopyRoutes(app, parts);
  app.use((_request, response) => {
    response.status(404).send(appErrorPage({ title: 'There is nothing here', text: 'Check the address.' }));
  });
  const onError: ErrorRequestHandler = (error, _request, response, _next) => {
    const status = error?.expose === true ? Number(error.status) : 500;
    if (status >= 500) parts.reportError(error);
    response
      .status(status)
      .send(
        appErrorPage({ title: 'This request failed', text: status < 500 ? 'It cannot be understood.' : 'The demo has a bug.' }),
      );
  };
  app.use(onError);
}

function addHomeRoute(app: Express, { idpUrl, inbox, copy, explain, sessions, choices }: Parts): void {
  const view = async ({ userId, memberships }: SignedIn): Promise<MembershipView[]> =>
    Promise.all(
      memberships.map(async (membership) => {
        const known = copy.member(membership.workspaceId, userId);
        const newer = known !== null && known.version > membership.version ? known : null;
        return { membership, newer, explanation: await explain(membership.workspaceId, userId) };
      }),
    );

  app.get('/', async (request, response) => {
    const session = sessions.get(cookieOf(request, sessionCookie) ?? '');
    const signedIn = session?.signedIn ?? null;
    const memberships = signedIn === null ? [] : await view(signedIn);
    response.set('Cache-Control', 'no-store');
    response.send(homePage({ signedIn, way: session?.way ?? '', memberships, ways: waysOf(choices), inbox, idpUrl }));
  });
}

function addSignInRoutes(app: Express, parts: Parts): void {
  const { url, login, sessions, pendingLogins, choices, reportError } = parts;
  const failed = (response: Response, error: unknown) => {
    if (!(error instanceof LoginFailed)) throw error;
    if (error.code === null) reportError(error);
    response
      .status(error.code === null ? 502 : 403)
      .send(signInFailedPage({ text: error.message, code: error.code, ways: waysOf(choices) }));
  };

  app.get('/sign-in', async (request, response) => {
    const { choice, way } = chosenWay(request, choices);
    try {
      const begun = await login.begin(choice);
      response.cookie(loginCookie, pendingLogins.keep({ pending: begun.pending, way }), {
        httpOnly: true,
        sameSite: 'lax',
        path: '/callback',
      });
      response.redirect(303, begun.url);
    } catch (error) {
      failed(response, error);
    }
  });

  app.get('/callback', async (request, response) => {
    const begun = pendingLogins.take(cookieOf(request, loginCookie) ?? '');
    response.clearCookie(loginCookie, { path: '/callback' });
    if (begun === null) {
      const text = 'This sign-in was begun in another browser, is finished already, or took too long.';
      return void response.status(400).send(signInFailedPage({ text, code: null, ways: waysOf(choices) }));
    }
    try {
      const signedIn = await login.complete(new URL(request.originalUrl, url), begun.pending);
      sessions.take(cookieOf(request, sessionCookie) ?? '');
      response.cookie(sessionCookie, sessions.keep({ signedIn, way: begun.way }), { httpOnly: true, sameSite: 'lax', path: '/' });
      response.redirect(303, '/');
    } catch (error) {
      failed(response, error);
    }
  });

  app.post('/sign-out', refuseForeignForms(url), (request, response) => {
    sessions.take(cookieOf(request, sessionCookie) ?? '');
    response.clearCookie(sessionCookie, { path: '/' });
    response.redirect(303, '/');
  });
}

function addWebhookRoutes(app: Express, { inbox }: Parts): void {
  // The signature covers the very bytes, so nothing may parse them first.
  app.post('/webhooks', express.raw({ type: () => true, limit: '256kb' }), (request, response) => {
    const headers = Object.entries(request.headers).flatMap(([name, value]) =>
      typeof value === 'string' ? [[name, value]] : [],
    );
    const body: unknown = request.body;
    const outcome = inbox.receive(Object.fromEntries(headers), Buffer.isBuffer(body) ? body : Buffer.alloc(0));
    response.status(outcome === 'refused' ? 401 : 204).end();
  });

  // HTML Living Standard 9.2, server-sent events: one line of JSON that holds the new list.
  app.get('/webhooks/live', (_request, response) => {
    response.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    const send = () => response.write(`data: ${JSON.stringify(renderHtml(webhookList(inbox)))}\n\n`);
    const stop = inbox.onChange(send);
    response.on('close', stop);
    send();
  });
}

function chosenWay(request: Request, choices: Parts['choices']): { choice: LoginChoice; way: string } {
  const way = fieldOf(request.query, 'with');
  if (way === 'saml' && choices.saml !== null) return { choice: choices.saml, way: 'SAML' };
  if (way === 'oidc' && choices.oidc !== null) return { choice: choices.oidc, way: 'OIDC' };
  return { choice: {}, way: 'the default connection' };
}

function waysOf({ saml, oidc }: Parts['choices']): SignInWays {
  return { saml: saml !== null, oidc: oidc !== null };
}
