import { BrokerError } from '../domain/broker-error.ts';
import type { Connection } from '../domain/connection.ts';
import { uniqueId } from '../infra/unique-id.ts';
import type { RelyingParty } from '../oidc/relying-party.ts';
import type { ServiceProvider } from '../saml/service-provider.ts';
import type { ConnectionChoice, LoginHints } from './connection-candidates.ts';
import { type Choice, chooseConnections, type HomeRealm } from './home-realm.ts';
import type { Expectation, PendingLoginStore } from './pending-login-store.ts';
import { type RecordRefusal, type RefusedLogin, refusalFrom } from './refusal.ts';

export interface LoginRequest {
  readonly interactionUid: string;
  /** Slug or id, as the app asked. */
  readonly workspace?: string | undefined;
  readonly connection?: string | undefined;
  readonly loginHint?: string | undefined;
  /** E-mail address as typed on the chooser page. */
  readonly email?: string | undefined;
  /** The app asked that the IdP see the person anew, whatever session it has (OIDC Core 3.1.2.1, `prompt=login`, `max_age=0`). */
  readonly reauthenticate?: boolean;
}

/** Where the browser goes next. `cookie` binds the pending login to this browser. */
export type LoginStep =
  | { readonly kind: 'redirect'; readonly url: string; readonly cookie: LoginCookie }
  | {
      readonly kind: 'post';
      readonly url: string;
      readonly fields: Readonly<Record<string, string>>;
      readonly cookie: LoginCookie;
    }
  | {
      readonly kind: 'choose';
      readonly connections: readonly ConnectionChoice[];
      /** Whether an e-mail address can lead on. */
      readonly asksForEmail?: boolean;
      readonly notice?: Choice['notice'];
    }
  | RefusedLogin;

export interface LoginCookie {
  readonly pendingId: string;
  readonly value: string;
}

/** Picks the connection and sends the browser to its IdP, remembering what the answer must match. */
export function createLoginStart(deps: {
  readonly candidates: (wanted: LoginHints) => Promise<readonly ConnectionChoice[]>;
  readonly homeRealm: HomeRealm;
  /** R35: why nobody may sign in; null: the licence allows it. */
  readonly licenceRefusal: () => BrokerError | null;
  readonly loadConnection: (connectionId: string) => Promise<Connection | null>;
  readonly pendingLogins: PendingLoginStore;
  readonly serviceProvider: ServiceProvider;
  readonly relyingParty: RelyingParty;
  readonly recordRefusal: RecordRefusal;
  readonly now: () => Date;
}) {
  const { now, pendingLogins } = deps;

  /** What goes wrong becomes a step of its own: the person gets a page, and by it the app hears of the error. */
  return async function startLogin(request: LoginRequest): Promise<LoginStep> {
    let connectionId: string | null = null;
    try {
      const refusal = deps.licenceRefusal();
      if (refusal) throw refusal;
      const { connections, notice } = await chooseConnections(deps, request);
      const [only, ...others] = connections;
      if (!only || others.length > 0 || notice !== null) {
        const asksForEmail = request.connection === undefined && (await deps.homeRealm.exists());
        if (!only && !asksForEmail) {
          throw new BrokerError('not_found', 'no connection can serve this login', { reason: 'no_connection' });
        }
        return { kind: 'choose', connections, asksForEmail, notice };
      }
      ({ connectionId } = only);
      return await depart(connectionId, request);
    } catch (thrown) {
      const { interactionUid } = request;
      return deps.recordRefusal({ loginId: uniqueId(now()), connectionId, interactionUid }, refusalFrom(thrown));
    }
  };

  async function depart(connectionId: string, request: LoginRequest): Promise<LoginStep> {
    const connection = await deps.loadConnection(connectionId);
    if (!connection) throw new BrokerError('not_found', 'the connection was deleted', { reason: 'no_connection' });
    if (!connection.enabled) throw new BrokerError('connection_disabled', `connection ${connectionId} is disabled`);
    const { pendingId, browserToken } = pendingLogins.newId();
    const { step, expectation } = await goToIdp(connection, pendingId, request);
    const { interactionUid } = request;
    await pendingLogins.save(pendingId, { interactionUid, connectionId, expectation }, browserToken);
    return { ...step, cookie: { pendingId, value: browserToken } };
  }

  async function goToIdp(connection: Connection, pendingId: string, request: LoginRequest): Promise<Departure> {
    const { connectionId, version, protocol } = connection;
    const { reauthenticate = false } = request;
    if (protocol.type === 'saml') {
      const { requestId, action } = deps.serviceProvider.authnRequest(
        { connectionId, version, settings: protocol },
        { relayState: pendingId, forceAuthn: reauthenticate },
      );
      return { step: action, expectation: { type: 'saml', requestId } };
    }
    const { url, pending } = await deps.relyingParty.authorizationUrl(
      { connectionId, version, settings: protocol },
      { state: pendingId, loginHint: request.email ?? request.loginHint ?? null, reauthenticate },
    );
    return { step: { kind: 'redirect', url }, expectation: { type: 'oidc', ...pending } };
  }
}

interface Departure {
  readonly step:
    | { readonly kind: 'redirect'; readonly url: string }
    | { readonly kind: 'post'; readonly url: string; readonly fields: Readonly<Record<string, string>> };
  readonly expectation: Expectation;
}
