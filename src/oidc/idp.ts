import type { JsonWebKey } from 'node:crypto';
import {
  allowInsecureRequests,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  type Configuration,
  type CustomFetch,
  clockSkew,
  clockTolerance,
  customFetch,
  discovery,
  None,
  type ServerMetadata,
} from 'openid-client';
import { BrokerError } from '../domain/broker-error.ts';
import type { OidcSettings } from '../domain/connection.ts';
import type { OutboundHttp } from '../infra/outbound-http.ts';
import { createKeySet, type KeySet } from './key-set.ts';
import { statusError, upstreamError } from './upstream-error.ts';

/** An OIDC connection as the login needs it. */
export interface OidcConnection {
  readonly connectionId: string;
  readonly version: number;
  readonly settings: OidcSettings;
}

/** What discovery told about an IdP, ready for logins. */
export interface Idp {
  readonly issuer: string;
  readonly metadata: ServerMetadata;
  /** The client of openid-client, which carries metadata and client authentication. */
  readonly configuration: Configuration;
  readonly keys: KeySet;
}

export interface DiscoveryOptions {
  readonly outbound: OutboundHttp;
  readonly openSecret: (sealed: string, connectionId: string) => string;
  readonly now: () => Date;
  readonly metadataRefreshSeconds: number;
  readonly jwksCooldownSeconds: number;
  readonly retrySeconds: number;
}

const wellKnown = '/.well-known/openid-configuration';

/**
 * Reads and checks the IdP's discovery document (OIDC Discovery 4).
 * @throws BrokerError `upstream_unavailable` when it cannot be reached, `upstream_misconfigured` when it is not acceptable
 */
export async function discoverIdp({ connectionId, settings }: OidcConnection, options: DiscoveryOptions): Promise<Idp> {
  const { outbound, now, openSecret } = options;
  const { document, issuer: expectedIssuer } = discoveryAddress(settings.discoveryUrl);
  const { clientId, sealedClientSecret, clockSkewSeconds } = settings;
  const secret = sealedClientSecret === null ? null : () => openSecret(sealedClientSecret, connectionId);
  // openid-client reads the process's clock; ours is an argument.
  const client = { [clockSkew]: Math.round((now().getTime() - Date.now()) / 1000), [clockTolerance]: clockSkewSeconds };
  const configuration = await discovery(document, clientId, client, clientAuthentication(secret), {
    // Whether http is allowed is the outbound client's decision.
    execute: [allowInsecureRequests],
    [customFetch]: fetchThrough(outbound),
  }).catch((thrown: unknown) => {
    throw upstreamError('discovery document', thrown);
  });
  // The outbound client has its own time limit.
  configuration.timeout = 0;
  const metadata = configuration.serverMetadata();
  for (const check of metadataChecks) {
    const problem = check(metadata, { expectedIssuer, hasSecret: secret !== null });
    if (problem) throw new BrokerError('upstream_misconfigured', problem.detail, { reason: problem.reason });
  }
  const keys = createKeySet({
    fetchKeys: () => fetchKeys(outbound, String(metadata.jwks_uri)),
    now,
    refreshSeconds: options.metadataRefreshSeconds,
    cooldownSeconds: options.jwksCooldownSeconds,
    retrySeconds: options.retrySeconds,
  });
  return { issuer: metadata.issuer, metadata, configuration, keys };
}

/** openid-client's requests through the one way out (law 8): its bodies are forms, and its redirects are answers like any other. */
function fetchThrough(outbound: OutboundHttp): CustomFetch {
  return async (url, { method, headers, body, signal }) => {
    const form = body instanceof URLSearchParams ? { body: body.toString() } : {};
    const response = await outbound.request(url, { method, headers, ...form, ...(signal && { signal }) });
    const bytes = response.body.length > 0 ? new Uint8Array(response.body) : null;
    return new Response(bytes, { status: response.status, headers: response.headers });
  };
}

/** Accepts the issuer or the address of its document; a query (Entra ID's `?appid=`) stays. */
function discoveryAddress(discoveryUrl: string): { document: URL; issuer: string } {
  const document = URL.parse(discoveryUrl);
  if (document === null)
    throw new BrokerError('upstream_misconfigured', 'the discovery address is not a URL', { reason: 'discovery_url_invalid' });
  const path = document.pathname.replace(/\/$/, '');
  document.pathname = path.endsWith(wellKnown) ? path : `${path}${wellKnown}`;
  document.hash = '';
  return { document, issuer: `${document.origin}${document.pathname.slice(0, -wellKnown.length)}` };
}

/** RFC 6749 2.3.1 prefers the header; the body only where the IdP offers nothing else. The secret is opened here and nowhere else. */
function clientAuthentication(openSecret: (() => string) | null): ClientAuth {
  if (openSecret === null) return None();
  return (server, client, body, headers) => {
    const authenticate = usesPost(server) ? ClientSecretPost(openSecret()) : ClientSecretBasic(openSecret());
    return authenticate(server, client, body, headers);
  };
}

function usesPost({ token_endpoint_auth_methods_supported: methods }: ServerMetadata): boolean {
  return Array.isArray(methods) && !methods.includes('client_secret_basic') && methods.includes('client_secret_post');
}

type MetadataCheck = (
  metadata: ServerMetadata,
  expected: { readonly expectedIssuer: string; readonly hasSecret: boolean },
) => { readonly detail: string; readonly reason: string } | null;

const metadataChecks: readonly MetadataCheck[] = [checkIssuer, checkEndpoints, checkClientAuthentication];

/** OIDC Discovery 4.3: the issuer must be the one that was asked for; a trailing slash aside, which the address of the document hides. */
function checkIssuer({ issuer }: ServerMetadata, { expectedIssuer }: { expectedIssuer: string }) {
  if (issuer.includes('{')) {
    const detail =
      'the discovery document serves many tenants; give the address of one tenant (Entra ID: with the tenant id instead of "common")';
    return { detail, reason: 'issuer_is_template' };
  }
  const named = URL.parse(issuer);
  if (named && !named.search && !named.hash && named.href.replace(/\/$/, '') === expectedIssuer) return null;
  const detail = `the discovery document at ${expectedIssuer} names another issuer; give the issuer's own address as the discovery address`;
  return { detail, reason: 'issuer_mismatch' };
}

/** OIDC Discovery 3; with an https issuer nothing may fall back to http. */
function checkEndpoints(metadata: ServerMetadata) {
  const insecure = metadata.issuer.startsWith('http:');
  for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri', 'userinfo_endpoint'] as const) {
    const value = metadata[name];
    if (value === undefined && name === 'userinfo_endpoint') continue;
    const protocol = typeof value === 'string' ? URL.parse(value)?.protocol : undefined;
    if (protocol === 'https:' || (insecure && protocol === 'http:')) continue;
    return { detail: `the discovery document has no usable ${name}; it must be an https address`, reason: 'endpoint_invalid' };
  }
  return null;
}

function checkClientAuthentication(
  { token_endpoint_auth_methods_supported: methods }: ServerMetadata,
  { hasSecret }: { hasSecret: boolean },
) {
  if (!hasSecret || !Array.isArray(methods)) return null;
  if (methods.includes('client_secret_basic') || methods.includes('client_secret_post')) return null;
  const detail = 'the IdP takes client secrets neither as client_secret_basic nor as client_secret_post';
  return { detail, reason: 'client_authentication_unsupported' };
}

/** @throws BrokerError `upstream_unavailable`, or `upstream_misconfigured` where the answer is no JWKS */
export async function fetchKeys(outbound: OutboundHttp, url: string): Promise<JsonWebKey[]> {
  const { status, body } = await outbound
    .request(url, { headers: { accept: 'application/json, application/jwk-set+json' } })
    .catch((thrown: unknown) => {
      throw upstreamError('JWKS', thrown);
    });
  if (status !== 200) throw statusError('JWKS', status);
  const keys = keysIn(body.toString('utf8'));
  if (keys) return keys;
  throw new BrokerError('upstream_misconfigured', "the IdP's JWKS is not a JSON document with a list of keys", {
    reason: 'jwks_invalid',
  });
}

/** RFC 7517 5. */
function keysIn(text: string): JsonWebKey[] | null {
  try {
    const { keys } = JSON.parse(text);
    return Array.isArray(keys) && keys.every((key) => typeof key === 'object' && key !== null) ? keys : null;
  } catch {
    return null;
  }
}
