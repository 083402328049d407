import { Constants, IdentityProvider, type IdentityProviderInstance, SPMetadata } from 'samlify';
import { html, renderHtml } from '../http/html.ts';
import { type CertifiedKey, certificateContent } from './certified-key.ts';
import {
  type ArrivedRequest,
  RequestRefused,
  readAuthnRequest,
  relayStateOf,
  verifyAuthnRequestSignature,
} from './idp-saml-request.ts';
import { type AnswerTo, createSamlRefusal, createSamlResponse, type SamlSigning } from './idp-saml-response.ts';
import type { Person } from './people.ts';

/** A service provider that may ask, as its metadata describes it. */
export interface SamlServiceProvider {
  readonly metadataXml: string;
  /** For the login page. */
  readonly name: string;
  /** Default: `assertion`. */
  readonly signing?: SamlSigning;
}

/** A checked request that waits for a person to be chosen. */
export interface SamlLogin {
  readonly to: AnswerTo;
  readonly askedBy: string;
  readonly signing: SamlSigning;
  readonly relayState: string | null;
  readonly hint: string | null;
}

/** A form to send: SAML Bindings 3.5.4. */
export interface SamlAnswer {
  readonly acsUrl: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface SamlIdentityProvider {
  readonly metadataXml: string;
  /** Returns the addresses that its answers may go to. */
  register(serviceProvider: SamlServiceProvider): readonly string[];
  /** @throws RequestRefused */
  receive(arrived: ArrivedRequest): SamlLogin;
  signIn(login: SamlLogin, person: Person): Promise<SamlAnswer>;
  refuse(login: SamlLogin): SamlAnswer;
}

interface Registered {
  readonly metadata: ReturnType<typeof SPMetadata>;
  readonly name: string;
  readonly signing: SamlSigning;
  /** The first one is the default. */
  readonly acsUrls: readonly string[];
}

const { namespace, algorithms } = Constants;

/** SAML 2.0 Web Browser SSO (SAML Profiles 4.1) on samlify: a signer that is not Rollcall's own code. */
export function createSamlIdentityProvider(options: {
  readonly url: string;
  readonly key: CertifiedKey;
  readonly now: () => Date;
}): SamlIdentityProvider {
  const { url, key, now } = options;
  const ssoUrl = `${url}/saml/sso`;
  const entityId = `${url}/saml/metadata`;
  const metadataXml = renderMetadata({ entityId, ssoUrl, certificate: key.certificate });
  const idp: IdentityProviderInstance = IdentityProvider({
    metadata: metadataXml,
    privateKey: key.privateKey,
    requestSignatureAlgorithm: algorithms.signature.RSA_SHA256,
  });
  const serviceProviders = new Map<string, Registered>();

  const answer = ({ to, relayState }: SamlLogin, samlResponse: string): SamlAnswer => ({
    acsUrl: to.acsUrl,
    fields: { SAMLResponse: samlResponse, ...(relayState === null ? {} : { RelayState: relayState }) },
  });

  return {
    metadataXml,
    register: ({ metadataXml: spMetadataXml, name, signing = 'assertion' }) => {
      const metadata = SPMetadata(spMetadataXml);
      const acsUrls = [metadata.getAssertionConsumerService('post')].flat();
      serviceProviders.set(metadata.getEntityID(), { metadata, name, signing, acsUrls });
      return acsUrls;
    },
    receive: (arrived) => {
      const request = readAuthnRequest(arrived);
      const sender = serviceProviders.get(request.issuer);
      if (sender === undefined) throw new RequestRefused('The sender of the request is not registered here.');
      if (request.destination !== null && request.destination !== ssoUrl)
        throw new RequestRefused('The request is addressed to another identity provider.');
      const acsUrl = request.acsUrl ?? sender.acsUrls[0];
      // SAML Profiles 4.1.4.1: the answer goes nowhere but to an address that the sender's metadata names.
      if (acsUrl === undefined || !sender.acsUrls.includes(acsUrl))
        throw new RequestRefused('The address for the answer is not registered here.');
      if (sender.metadata.isAuthnRequestSigned()) verifyAuthnRequestSignature(arrived, request, sender.metadata);
      return {
        to: { spEntityId: request.issuer, acsUrl, requestId: request.id },
        askedBy: sender.name,
        signing: sender.signing,
        relayState: relayStateOf(arrived),
        hint: request.subject,
      };
    },
    signIn: async (login, person) =>
      answer(login, await createSamlResponse({ idp, to: login.to, person, signing: login.signing, now: now() })),
    refuse: (login) => answer(login, createSamlRefusal({ issuer: entityId, key, to: login.to, now: now() })),
  };
}

function renderMetadata({ entityId, ssoUrl, certificate }: { entityId: string; ssoUrl: string; certificate: string }): string {
  const services = [namespace.binding.redirect, namespace.binding.post].map(
    (binding) => html`
    <SingleSignOnService Binding="${binding}" Location="${ssoUrl}"/>`,
  );
  return renderHtml(html`<?xml version="1.0" encoding="UTF-8"?>
<EntityDescriptor xmlns="${namespace.names.metadata}" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="${entityId}">
  <IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="${namespace.names.protocol}">
    <KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>${certificateContent(certificate)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>
    <NameIDFormat>${namespace.format.persistent}</NameIDFormat>${services}
  </IDPSSODescriptor>
</EntityDescriptor>
`);
}
