import { createAppLogin, type LoginChoice } from './app-login.ts';
import { createMemberCopy, type MemberCopy } from './app-member-copy.ts';
import { createReconciler, type Reconciler } from './app-reconcile.ts';
import { createExplainer, createMemberSource, type RollcallApi } from './app-rollcall-api.ts';
import { type AppPendingLogin, type AppSession, addAppRoutes } from './app-routes.ts';
import { createWebhookInbox, type WebhookInbox } from './app-webhooks.ts';
import { createLocalApp, openLocalServer } from './local-server.ts';
import { createShortLived } from './short-lived.ts';

export interface DemoApp {
  readonly url: string;
  /** For the client's registration at Rollcall. */
  readonly redirectUri: string;
  /** For the endpoint's registration at Rollcall. */
  readonly webhookUrl: string;
  readonly inbox: WebhookInbox;
  readonly copy: MemberCopy;
  readonly reconciler: Reconciler;
  close(): Promise<void>;
}

/**
 * Starts the demo app: a third-party relying party (openid-client) and webhook receiver (standardwebhooks) on an origin of its own. It asks
 * Rollcall nothing before the first sign-in, so that client and endpoint can be registered afterwards.
 * @param options.webhookSecret `whsec_…`
 * @param options.saml what "Sign in with SAML" sends along; null: no such button. `oidc` likewise
 * @param options.port 0: any free one
 */
export async function createDemoApp({
  issuer,
  clientId,
  clientSecret,
  webhookSecret,
  rollcallApi,
  saml = null,
  oidc = null,
  scope = 'openid email profile',
  idpUrl = null,
  port = 0,
  host = 'localhost',
  now = () => new Date(),
  reportError = console.error,
}: {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly webhookSecret: string;
  readonly rollcallApi: RollcallApi;
  readonly saml?: LoginChoice | null;
  readonly oidc?: LoginChoice | null;
  readonly scope?: string;
  /** The people page of the demo identity provider, for links. */
  readonly idpUrl?: string | null;
  readonly port?: number;
  readonly host?: string;
  readonly now?: () => Date;
  /** What went wrong although nobody did anything wrong. */
  readonly reportError?: (error: unknown) => void;
}): Promise<DemoApp> {
  const copy = createMemberCopy();
  const inbox = createWebhookInbox({ secret: webhookSecret, copy, now });
  const source = createMemberSource(rollcallApi);
  const reconciler = createReconciler({ copy, source });
  const server = await openLocalServer({ host, port, name: 'demo app' });
  const { url, close } = server;
  const redirectUri = `${url}/callback`;

  const app = createLocalApp({ url, formTargets: () => [] });
  addAppRoutes(app, {
    url,
    idpUrl,
    inbox,
    copy,
    source,
    reconciler,
    login: createAppLogin({ issuer, clientId, clientSecret, redirectUri, scope, now }),
    explain: createExplainer({ ...rollcallApi, reportError }),
    sessions: createShortLived<AppSession>({ seconds: 28_800, maxEntries: 1000, now }),
    pendingLogins: createShortLived<AppPendingLogin>({ seconds: 600, maxEntries: 1000, now }),
    choices: { saml, oidc },
    reportError,
  });
  server.answerWith(app);

  return { url, redirectUri, webhookUrl: `${url}/webhooks`, inbox, copy, reconciler, close };
}
