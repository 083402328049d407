import { ns } from './vocabulary.ts';
import { xmlAttribute } from './xml-text.ts';

export interface SpMetadataInput {
  readonly entityId: string;
  readonly acsUrl: string;
  /** PEM; null: this connection does not sign its requests. */
  readonly signingCertificate: string | null;
  /** PEM; what will sign once a rotation is over, so that the IdP knows it by then. */
  readonly nextSigningCertificates?: readonly string[];
  /** PEM; null: assertions cannot be encrypted. */
  readonly encryptionCertificate: string | null;
  readonly wantAssertionsSigned: boolean;
}

const metadataNamespace = 'urn:oasis:names:tc:SAML:2.0:metadata';

/** What `decryption.ts` opens, best first; an IdP may take the first that it knows. */
const encryptionMethods = [
  'http://www.w3.org/2009/xmlenc11#aes256-gcm',
  'http://www.w3.org/2009/xmlenc11#aes128-gcm',
  'http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p',
];

/** The document that an administrator gives to the IdP (SAML Metadata 2.4.4): one entity, one ACS address with the POST binding. */
export function renderSpMetadata({ entityId, acsUrl, wantAssertionsSigned, ...certificates }: SpMetadataInput): string {
  const { signingCertificate, nextSigningCertificates = [], encryptionCertificate } = certificates;
  const signing = signingCertificate === null ? [] : [signingCertificate, ...nextSigningCertificates];
  const methods = encryptionMethods.map((algorithm) => `<md:EncryptionMethod Algorithm="${algorithm}"/>`).join('');
  return [
    `<?xml version="1.0" encoding="UTF-8"?>\n`,
    `<md:EntityDescriptor xmlns:md="${metadataNamespace}" xmlns:ds="${ns.ds}" entityID="${xmlAttribute(entityId)}">`,
    `<md:SPSSODescriptor AuthnRequestsSigned="${signingCertificate !== null}" WantAssertionsSigned="${wantAssertionsSigned}"`,
    ` protocolSupportEnumeration="${ns.samlp}">`,
    ...signing.map((certificate) => keyDescriptor('signing', certificate, '')),
    encryptionCertificate === null ? '' : keyDescriptor('encryption', encryptionCertificate, methods),
    `<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="${xmlAttribute(acsUrl)}"`,
    ` index="0" isDefault="true"/>`,
    `</md:SPSSODescriptor></md:EntityDescriptor>\n`,
  ].join('');
}

function keyDescriptor(use: 'signing' | 'encryption', certificate: string, encryptionMethods: string): string {
  const keyInfo = `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>${certificateBody(certificate)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`;
  return `<md:KeyDescriptor use="${use}">${keyInfo}${encryptionMethods}</md:KeyDescriptor>`;
}

/** The base64 of a PEM certificate, without its frame and line breaks. */
export function certificateBody(pem: string): string {
  return pem.replaceAll(/-----[A-Z ]+-----|[^A-Za-z0-9+/=]/g, '');
}
