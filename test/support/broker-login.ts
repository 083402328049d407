import type { AppRequest, AppTokens } from './broker-app.ts';
import type { BrokerBrowser, Visit } from './broker-browser.ts';
import { type SamlIdp, type SamlPerson, type SamlRequest, samlRequestIn } from './broker-saml-idp.ts';
import type { BrokerWorld } from './broker-world.ts';
import type { OidcIdp, OidcIdpUser } from './oidc-idp.ts';
import type { RespondOptions } from './saml-response-builder.ts';

/** A login that the app began: the browser is at the IdP, or at a page of the broker. */
export interface BegunLogin {
  readonly browser: BrokerBrowser;
  readonly request: AppRequest;
  readonly visit: Visit;
}

export interface BeginOptions {
  readonly browser?: BrokerBrowser;
  /** Added to the app's authorization request. */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** The app sends the browser to the broker, which sends it on. */
export async function beginLogin(world: BrokerWorld, options: BeginOptions = {}): Promise<BegunLogin> {
  const browser = options.browser ?? world.newBrowser();
  const request = await world.app.request(options.parameters);
  return { browser, request, visit: await browser.open(request.url, { from: 'https://app.example.com' }) };
}

/** A SAML connection with the IdP behind it. */
export interface SamlConnection {
  readonly id: string;
  readonly idp: SamlIdp;
}

export interface OidcConnection {
  readonly id: string;
  readonly idp: OidcIdp;
}

export interface SamlLogin extends BegunLogin {
  readonly saml: SamlRequest;
}

export async function beginSamlLogin(
  world: BrokerWorld,
  connection: SamlConnection,
  options: BeginOptions = {},
): Promise<SamlLogin> {
  const begun = await beginLogin(world, { ...options, parameters: { connection: connection.id, ...options.parameters } });
  return { ...begun, saml: samlRequestIn(begun.visit) };
}

/** The browser posts the IdP's answer. `browser`: another one than the login was started with. */
export function answerSaml(
  { saml, browser }: SamlLogin,
  { idp }: SamlConnection,
  person: SamlPerson,
  changes: Partial<RespondOptions> = {},
): Promise<Visit> {
  return postAnswer(browser, saml.acsUrl, idp.answer(saml, person, changes), idp);
}

export function postAnswer(
  browser: BrokerBrowser,
  acsUrl: string,
  fields: Readonly<Record<string, string>>,
  { origin }: Pick<SamlIdp, 'origin'>,
): Promise<Visit> {
  return browser.post(acsUrl, fields, { from: origin });
}

export interface OidcLogin extends BegunLogin {
  /** The IdP's authorization endpoint with our request. */
  readonly authorizationUrl: URL;
}

export async function beginOidcLogin(
  world: BrokerWorld,
  connection: OidcConnection,
  user: OidcIdpUser,
  options: BeginOptions = {},
): Promise<OidcLogin> {
  connection.idp.users.set(user.sub, user);
  const parameters = { connection: connection.id, login_hint: user.sub, ...options.parameters };
  const begun = await beginLogin(world, { ...options, parameters });
  if (begun.visit.leadsTo === null) throw new Error(`the browser was not sent to an IdP: ${begun.visit.text.slice(0, 2_000)}`);
  return { ...begun, authorizationUrl: new URL(begun.visit.leadsTo) };
}

/** Signs in at the IdP, which sends the browser back; the address is not opened yet. */
export async function oidcAnswer({ authorizationUrl }: OidcLogin): Promise<string> {
  const response = await fetch(authorizationUrl, { redirect: 'manual' });
  const location = response.headers.get('location');
  if (location === null) throw new Error(`the IdP answered ${response.status}: ${await response.text()}`);
  return location;
}

export async function answerOidc(login: OidcLogin): Promise<Visit> {
  return login.browser.open(await oidcAnswer(login), { from: login.authorizationUrl.origin });
}

/** The app's part once the browser is back. */
export function redeem(world: BrokerWorld, { request }: BegunLogin, visit: Visit): Promise<AppTokens> {
  if (visit.leadsTo === null) throw new Error(`the browser did not get back to the app: ${whyNot(world, visit)}`);
  return world.app.redeem(request, visit.leadsTo);
}

function whyNot({ lines }: BrokerWorld, { status, text }: Visit): string {
  const reference = /<dd>([^<]*)<\/dd>/.exec(text)?.[1];
  const line = lines.find(({ loginId, requestId, err }) => err && (loginId === reference || requestId === reference));
  return line ? JSON.stringify(line) : `status ${status}, ${text.slice(0, 300)}`;
}

/** A whole login by SAML, from the app and back. */
export async function logInBySaml(
  world: BrokerWorld,
  connection: SamlConnection,
  person: SamlPerson,
  options: BeginOptions & { readonly changes?: Partial<RespondOptions> } = {},
): Promise<AppTokens> {
  const login = await beginSamlLogin(world, connection, options);
  return redeem(world, login, await answerSaml(login, connection, person, options.changes));
}

/** A whole login by OpenID Connect, from the app and back. */
export async function logInByOidc(
  world: BrokerWorld,
  connection: OidcConnection,
  user: OidcIdpUser,
  options: BeginOptions = {},
): Promise<AppTokens> {
  const login = await beginOidcLogin(world, connection, user, options);
  return redeem(world, login, await answerOidc(login));
}
