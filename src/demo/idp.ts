import { createCertifiedKey } from '../infra/self-signed-certificate.ts';
import { createOidcIdentityProvider, type OidcClient } from './idp-oidc.ts';
import { type AppLink, idpErrorPage } from './idp-pages.ts';
import { addIdpRoutes } from './idp-routes.ts';
import { createSamlIdentityProvider, type SamlLogin, type SamlServiceProvider } from './idp-saml.ts';
import { createLocalApp, openLocalServer } from './local-server.ts';
import { createDirectory, type Directory, type Person } from './people.ts';
import { company, people as scenarioPeople } from './scenario.ts';
import { createShortLived } from './short-lived.ts';

export interface DemoIdp {
  readonly url: string;
  readonly samlMetadataUrl: string;
  readonly samlMetadataXml: string;
  readonly oidcIssuer: string;
  /** The people and their groups, for programs; people have the page at `/`. */
  readonly directory: Directory;
  registerServiceProvider(serviceProvider: SamlServiceProvider): void;
  registerOidcClient(client: OidcClient): void;
  /** Shows the way to the app on the pages. */
  linkTo(app: AppLink): void;
  close(): Promise<void>;
}

/**
 * Starts a real identity provider with imaginary people: SAML 2.0 and OpenID Connect on an origin of its own. Keys are made at the start.
 * @param options.port 0: any free one
 */
export async function createDemoIdp({
  port = 0,
  host = 'localhost',
  people = scenarioPeople,
  now = () => new Date(),
  reportError = console.error,
}: {
  readonly port?: number;
  readonly host?: string;
  readonly people?: readonly Person[];
  readonly now?: () => Date;
  /** What went wrong although nobody did anything wrong. */
  readonly reportError?: (error: unknown) => void;
} = {}): Promise<DemoIdp> {
  const server = await openLocalServer({ host, port, name: 'demo identity provider' });
  const { url } = server;
  const oidcIssuer = `${url}/oidc`;
  const directory = createDirectory(people);
  const answerOrigins = new Set<string>();
  let appLink: AppLink | null = null;

  const key = await createCertifiedKey({
    usage: 'signature',
    commonName: `${company.name} demo identity provider`,
    now: now(),
    validDays: 365,
  });
  const saml = createSamlIdentityProvider({ url, key, now });
  const oidc = await createOidcIdentityProvider({
    issuer: oidcIssuer,
    directory,
    loginPath: (requestId) => `/login/oidc/${requestId}`,
    renderError: (text) => idpErrorPage({ title: 'This sign-in cannot go on', text, appLink }),
    now,
  });

  // A form's redirects count too, and they lead from the relying party on to the app: all of the demo's servers share this host.
  const app = createLocalApp({ url, formTargets: () => [`http://${host}:*`, ...answerOrigins] });
  const samlLogins = createShortLived<SamlLogin>({ seconds: 600, maxEntries: 1000, now });
  addIdpRoutes(app, { url, directory, saml, oidc, samlLogins, appLink: () => appLink, reportError });
  server.answerWith(app);

  return {
    url,
    oidcIssuer,
    directory,
    samlMetadataUrl: `${url}/saml/metadata`,
    samlMetadataXml: saml.metadataXml,
    registerServiceProvider: (serviceProvider) => {
      for (const acsUrl of saml.register(serviceProvider)) answerOrigins.add(new URL(acsUrl).origin);
    },
    registerOidcClient: (client) => {
      for (const redirectUri of client.redirectUris) answerOrigins.add(new URL(redirectUri).origin);
      oidc.register(client);
    },
    linkTo: (link) => {
      appLink = link;
    },
    close: server.close,
  };
}
