import type { KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { SamlSettings } from '../domain/connection.ts';
import type { FederatedIdentity } from '../domain/federated-identity.ts';
import { type AuthnRequest, createAuthnRequest } from './authn-request.ts';
import { samlIdentity } from './identity.ts';
import { type IdpMetadata, parseIdpMetadata, renderSpMetadata } from './metadata.ts';
import type { ResponseVerifier } from './response.ts';

export interface KeyAndCertificate {
  readonly privateKey: KeyObject;
  /** PEM */
  readonly certificate: string;
}

export interface ServiceProviderKeys {
  readonly samlSigning: KeyAndCertificate;
  /** PEM; in the metadata beside the one that signs. */
  readonly samlSigningNext: readonly string[];
  /** Newest first; every one of them opens an encrypted assertion, the first stands in the metadata. */
  readonly samlDecryption: readonly KeyAndCertificate[];
}

/** A SAML connection as the login needs it. */
export interface SamlConnection {
  readonly connectionId: string;
  readonly version: number;
  readonly settings: SamlSettings;
}

/** Connections whose IdPs are held ready; the metadata of others is read again when it is needed. */
const maxIdps = 1_000;

export type ServiceProvider = ReturnType<typeof createServiceProvider>;

/** Rollcall as a SAML 2.0 service provider: one entity for each connection, so that an answer for one is never good for another. */
export function createServiceProvider(deps: {
  readonly publicUrl: string;
  /** Those in force now. */
  readonly keys: () => ServiceProviderKeys;
  readonly verifier: ResponseVerifier;
  readonly maxMetadataBytes: number;
  readonly now: () => Date;
}) {
  const { publicUrl, keys, verifier, maxMetadataBytes, now } = deps;
  const parsed = new LRUCache<string, { readonly version: number; readonly idp: IdpMetadata }>({ max: maxIdps });

  function idpOf({ connectionId, version, settings }: SamlConnection): IdpMetadata {
    const cached = parsed.get(connectionId);
    if (cached?.version === version) return cached.idp;
    const idp = parseIdpMetadata(settings.metadataXml, { maxBytes: maxMetadataBytes, now: now() });
    parsed.set(connectionId, { version, idp });
    return idp;
  }

  const entityId = (connectionId: string) => `${publicUrl}/saml/${connectionId}/metadata`;
  const acsUrl = (connectionId: string) => `${publicUrl}/saml/${connectionId}/acs`;

  return {
    /** The metadata document that the customer's administrator gives to their IdP. */
    metadata(connectionId: string): string {
      const { samlSigning, samlSigningNext, samlDecryption } = keys();
      return renderSpMetadata({
        entityId: entityId(connectionId),
        acsUrl: acsUrl(connectionId),
        signingCertificate: samlSigning.certificate,
        nextSigningCertificates: samlSigningNext,
        encryptionCertificate: samlDecryption[0]?.certificate ?? null,
        wantAssertionsSigned: true,
      });
    },

    /** @throws BrokerError `upstream_misconfigured` when the IdP's metadata does not allow a request */
    authnRequest(
      connection: SamlConnection,
      request: { readonly relayState: string; readonly forceAuthn: boolean },
    ): AuthnRequest {
      const { connectionId, settings } = connection;
      return createAuthnRequest({
        settings,
        idp: idpOf(connection),
        spEntityId: entityId(connectionId),
        acsUrl: acsUrl(connectionId),
        ...request,
        signingKey: keys().samlSigning,
        now: now(),
      });
    },

    /**
     * Verifies an answer to the request `requestId` (law 4 and 5).
     * @throws BrokerError `assertion_rejected`, `upstream_denied`
     */
    completeResponse(
      connection: SamlConnection,
      answer: { readonly samlResponse: string; readonly requestId: string },
    ): { readonly identity: FederatedIdentity; readonly checks: readonly { readonly name: string; readonly section: string }[] } {
      const { connectionId, settings } = connection;
      const idp = idpOf(connection);
      const { assertion, checks } = verifier.verify({
        responseBase64: answer.samlResponse,
        idp: { entityId: idp.entityId, signingCertificates: idp.signingCertificates },
        sp: {
          entityId: entityId(connectionId),
          acsUrl: acsUrl(connectionId),
          decryptionKeys: keys().samlDecryption.map(({ privateKey }) => privateKey),
        },
        requestId: answer.requestId,
        clockSkewSeconds: settings.clockSkewSeconds,
        now: now(),
      });
      return { identity: samlIdentity(assertion, settings), checks };
    },

    forget(connectionId: string): void {
      parsed.delete(connectionId);
    },
  };
}
