import { inflateRawSync } from 'node:zlib';
import { Extractor, SamlLib, type SPMetadata } from 'samlify';
import { z } from 'zod';

/** A request that cannot be answered at all, because it does not say, or is not allowed to say, where the answer goes. */
export class RequestRefused extends Error {}

/** What an AuthnRequest asks (SAML Core 3.4.1). */
export interface AuthnRequest {
  readonly id: string;
  readonly issuer: string;
  readonly destination: string | null;
  readonly acsUrl: string | null;
  /** The NameID of its Subject: whom the service provider expects. */
  readonly subject: string | null;
  readonly xml: string;
}

/** A request as it arrived; `query` is the raw query string, since a signature covers its very octets (SAML Bindings 3.4.4.1). */
export type ArrivedRequest =
  | { readonly binding: 'redirect'; readonly query: string }
  | { readonly binding: 'post'; readonly samlRequest: string; readonly relayState: string | null };

const maxRequestBytes = 64 * 1024;

const extracted = z.object({
  request: z.object({
    id: z.string().min(1),
    destination: z.string().optional(),
    assertionConsumerServiceUrl: z.string().optional(),
  }),
  issuer: z.string().min(1),
  subject: z.string().nullish(),
});

const requestFields = [
  ...Extractor.loginRequestFields,
  { key: 'subject', localPath: ['AuthnRequest', 'Subject', 'NameID'], attributes: [] },
];

/** @throws RequestRefused if it is no AuthnRequest */
export function readAuthnRequest(arrived: ArrivedRequest): AuthnRequest {
  const xml = decode(arrived);
  if (/<!DOCTYPE/i.test(xml)) throw new RequestRefused('The request carries a DOCTYPE.');
  const parsed = extracted.safeParse(extract(xml));
  if (!parsed.success) throw new RequestRefused('The request is not a SAML AuthnRequest.');
  const { request, issuer, subject } = parsed.data;
  return {
    id: request.id,
    issuer,
    destination: request.destination ?? null,
    acsUrl: request.assertionConsumerServiceUrl ?? null,
    subject: subject ? subject : null,
    xml,
  };
}

export function relayStateOf(arrived: ArrivedRequest): string | null {
  return arrived.binding === 'post' ? arrived.relayState : new URLSearchParams(arrived.query).get('RelayState');
}

/** @throws RequestRefused if the signature is missing or not made with the key of `metadata` */
export function verifyAuthnRequestSignature(
  arrived: ArrivedRequest,
  request: AuthnRequest,
  metadata: ReturnType<typeof SPMetadata>,
): void {
  if (!isSignedBy(arrived, request, metadata))
    throw new RequestRefused('The request is not signed with the key in the metadata of its sender.');
}

function isSignedBy(arrived: ArrivedRequest, request: AuthnRequest, metadata: ReturnType<typeof SPMetadata>): boolean {
  try {
    if (arrived.binding === 'post') return SamlLib.verifySignature(request.xml, { metadata })[0];
    const parameters = new URLSearchParams(arrived.query);
    const signature = Buffer.from(parameters.get('Signature') ?? '', 'base64');
    return SamlLib.verifyMessageSignature(metadata, signedOctets(arrived.query), signature, parameters.get('SigAlg') ?? '');
  } catch {
    // samlify throws for an unknown algorithm, a foreign certificate and a broken signature alike.
    return false;
  }
}

// SAML Bindings 3.4.4.1: these parameters, in this order, encoded as they arrived.
function signedOctets(query: string): string {
  const parts = query.split('&');
  const ordered = ['SAMLRequest', 'RelayState', 'SigAlg'].map((name) => parts.find((part) => part.startsWith(`${name}=`)));
  return ordered.filter((part) => part !== undefined).join('&');
}

function decode(arrived: ArrivedRequest): string {
  const encoded =
    arrived.binding === 'post' ? arrived.samlRequest : (new URLSearchParams(arrived.query).get('SAMLRequest') ?? '');
  const bytes = Buffer.from(encoded, 'base64');
  try {
    return (arrived.binding === 'post' ? bytes : inflateRawSync(bytes, { maxOutputLength: maxRequestBytes })).toString('utf8');
  } catch (cause) {
    throw new RequestRefused('The request cannot be unpacked.', { cause });
  }
}

function extract(xml: string): unknown {
  try {
    return Extractor.extract(xml, requestFields);
  } catch (cause) {
    throw new RequestRefused('The request is not XML.', { cause });
  }
}
