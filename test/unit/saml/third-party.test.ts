import { beforeAll, expect, it } from 'vitest';
import { SignedXml } from 'xml-crypto';
import { acsUrl, base64, createSamlWorld, idpEntityId, requestId, type SamlWorld, spEntityId } from '../../support/saml-world.ts';

/** Signatures made by another library over text that is far from canonical: the canonical form is not ours alone. */
let world: SamlWorld;
beforeAll(async () => {
  world = await createSamlWorld();
});

const exclusive = 'http://www.w3.org/2001/10/xml-exc-c14n#';

/** Default namespaces, odd prefixes, single quotes, white space, comments, CDATA, references, unused declarations. */
const message = `<?xml version='1.0' encoding='utf-8' standalone="yes"?>
<Response xmlns='urn:oasis:names:tc:SAML:2.0:protocol' xmlns:unused="urn:unused" xmlns:xs="http://www.w3.org/2001/XMLSchema"
   Version = "2.0" InResponseTo='${requestId}'
   ID="_r1"	IssueInstant="2026-03-04T05:06:07Z" Destination='${acsUrl}'>
  <a:Issuer xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">${idpEntityId}</a:Issuer><!-- a comment -->
  <Status><StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></Status>
  <Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
             Version="2.0" IssueInstant="2026-03-04T05:06:07.1234567Z" ID="_a1">
    <Issuer
    >${idpEntityId}</Issuer>
    <Subject>
      <NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"><![CDATA[user&]]>amp;&#x31;</NameID>
      <SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">
        <SubjectConfirmationData NotOnOrAfter="2026-03-04T05:11:07Z" Recipient="${acsUrl}" InResponseTo="${requestId}"/>
      </SubjectConfirmation>
    </Subject>
    <Conditions NotOnOrAfter="2026-03-04T05:11:07Z" NotBefore="2026-03-04T05:05:07Z">
      <AudienceRestriction><Audience>${spEntityId}</Audience></AudienceRestriction><OneTimeUse/>
    </Conditions>
    <AuthnStatement AuthnInstant="2026-03-04T05:06:07Z"><AuthnContext><AuthnContextClassRef>urn:x</AuthnContextClassRef></AuthnContext></AuthnStatement>
    <AttributeStatement>
      <Attribute Name="gr&#111;ups"><AttributeValue xsi:type="xs:string">builders</AttributeValue>
        <AttributeValue xsi:type='xs:string' xmlns:b="urn:b" b:z="1" b:a="2" a="3">Marketing &amp; "Sales" \u00e9 &gt;</AttributeValue><AttributeValue/></Attribute>
    </AttributeStatement>
  </Assertion>
</Response>
`;

function signedByXmlCrypto(xml: string, element: 'Response' | 'Assertion'): string {
  const signer = new SignedXml({
    privateKey: world.idpKey.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    signatureAlgorithm: 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    canonicalizationAlgorithm: exclusive,
  });
  const xpath = `//*[local-name(.)='${element}']`;
  signer.addReference({
    xpath,
    transforms: ['http://www.w3.org/2000/09/xmldsig#enveloped-signature', exclusive],
    digestAlgorithm: 'http://www.w3.org/2001/04/xmlenc#sha512',
  });
  signer.computeSignature(xml, { prefix: 'sig', location: { reference: `${xpath}/*[local-name(.)='Issuer']`, action: 'after' } });
  return signer.getSignedXml();
}

it.each([
  ['the assertion', (xml: string) => signedByXmlCrypto(xml, 'Assertion'), 'assertion'],
  ['the Response', (xml: string) => signedByXmlCrypto(xml, 'Response'), 'response'],
  ['both', (xml: string) => signedByXmlCrypto(signedByXmlCrypto(xml, 'Assertion'), 'Response'), 'both'],
] as const)('accepts what xml-crypto signs: %s', (_, sign, by) => {
  const { assertion, signed } = world.verify(base64(sign(message)));
  expect(signed).toBe(by);
  expect(assertion).toMatchObject({
    id: '_a1',
    nameId: { value: 'user&amp;1' },
    attributes: { groups: ['builders', 'Marketing & "Sales" é >', ''] },
  });
});

it('refuses the same messages once a signed character is changed', () => {
  for (const element of ['Response', 'Assertion'] as const) {
    const changed = signedByXmlCrypto(message, element).replace('builders', 'Builders');
    expect(world.outcome(base64(changed))).toBe('assertion_rejected: digest_mismatch');
  }
});
