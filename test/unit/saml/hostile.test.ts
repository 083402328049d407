import { beforeAll, describe, expect, it } from 'vitest';
import { decodeMessage, treeLimits } from '../../../src/saml/limits.ts';
import { withXmlDocument, type XmlElement } from '../../../src/saml/xml-document.ts';
import { type HostileAnswer, hostileAnswers } from '../../support/saml-hostile.ts';
import { createSamlWorld, type SamlWorld } from '../../support/saml-world.ts';

/**
 * Law 4: one hostile answer never holds the event loop over 50 ms. Time is for the bench (`test/bench/saml-verify.ts`); here the work
 * is counted that an answer gets done before it is refused.
 */
let world: SamlWorld;
let answers: readonly HostileAnswer[];
beforeAll(async () => {
  world = await createSamlWorld();
  answers = hostileAnswers(world.idp, world.genuine, world.spKey.publicKey);
});

const maxBytes = 256 * 1024;
const maxElements = 4000;
const limits = treeLimits(maxElements);

/** Stopped while the bytes are scanned or the tree is copied: neither a canonicalizer nor a validator has seen it. */
const stoppedEarly = [
  'xml_malformed',
  'xml_too_deep',
  'xml_too_many_elements',
  'xml_too_many_attributes',
  'xml_too_many_namespaces',
  'xml_too_much_work',
  'xml_namespace_too_long',
];

it('is stopped early, or is within the limits that the canonicalizer and the validator can bear', () => {
  for (const { name, responseBase64 } of answers) {
    const outcome = world.outcome(responseBase64).replace('assertion_rejected: ', '');
    expect(responseBase64.length, name).toBeLessThanOrEqual(Math.ceil(maxBytes / 3) * 4);
    if (stoppedEarly.includes(outcome)) continue;
    const bytes = decodeMessage(responseBase64, maxBytes);
    const { work, canonicalBytes } = withXmlDocument(bytes, limits, (document) => ({
      work: countWork(document.root, 1),
      canonicalBytes: document.canonicalize(document.root, []).length,
    }));
    expect(work, name).toBeLessThanOrEqual(limits.maxWork);
    // Canonical text may be longer than what was sent, but not by orders of magnitude.
    expect(canonicalBytes, name).toBeLessThan(4 * bytes.length);
  }
});

it('of a stranger never gets past signature and digest', () => {
  const outcomes = answers
    .filter(({ name }) => name.startsWith('stranger'))
    .map(({ responseBase64 }) => world.outcome(responseBase64));
  expect(outcomes.filter((outcome) => outcome === 'accepted')).toEqual([]);
  expect(
    new Set(
      outcomes.map((outcome) => outcome.replace('assertion_rejected: ', '')).filter((reason) => !stoppedEarly.includes(reason)),
    ),
  ).toEqual(new Set(['digest_mismatch', 'signature_invalid']));
});

describe('the limits leave room for real answers', () => {
  it.each([
    ['1,000 groups of 60 characters, typed, both signed', 1000, { typedValues: true, signed: 'both' }],
    ['1,300 groups, typed', 1300, { typedValues: true }],
    ['3,900 groups', 3900, {}],
  ] as const)('%s', (_, count, options) => {
    const groups = Array.from({ length: count }, (_, index) => `group ${index}`.padEnd(count > 1000 ? 10 : 60, '.'));
    expect(world.verify(world.respond({ ...options, attributes: { groups } })).assertion.attributes.groups).toEqual(groups);
  });
});

function countWork(element: XmlElement, depth: number): number {
  const own = depth * (1 + element.attributes.length + element.declarations.length);
  return element.children.reduce((sum, child) => sum + countWork(child, depth + 1), own);
}
