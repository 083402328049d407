import { beforeAll, describe, expect, it } from 'vitest';
import { rejectionReasons } from '../../../src/saml/rejection.ts';
import type { Attack } from '../../support/saml-attack.ts';
import { checkAttacks } from '../../support/saml-attacks-checks.ts';
import { documentAttacks } from '../../support/saml-attacks-document.ts';
import { encryptionAttacks } from '../../support/saml-attacks-encryption.ts';
import { envelopeAttacks } from '../../support/saml-attacks-envelope.ts';
import { signatureAttacks } from '../../support/saml-attacks-signature.ts';
import { wrappingAttacks } from '../../support/saml-attacks-wrapping.ts';
import { createSamlWorld, type SamlWorld } from '../../support/saml-world.ts';

const families: readonly (readonly [string, readonly Attack[]])[] = [
  ['wrapping', wrappingAttacks],
  ['signatures', signatureAttacks],
  ['the document', documentAttacks],
  ['the Response', envelopeAttacks],
  ['the assertion', checkAttacks],
  ['encryption', encryptionAttacks],
];

let world: SamlWorld;
beforeAll(async () => {
  world = await createSamlWorld();
});

describe.each(families)('attacks on %s', (_, attacks) => {
  it.each(attacks)('$name: refused ($reason), its twin accepted', ({ refused, accepted, reason }) => {
    const attack = refused(world);
    expect(world.outcome(attack.responseBase64, attack.input)).toBe(`assertion_rejected: ${reason}`);
    const twin = accepted(world);
    expect(world.outcome(twin.responseBase64, twin.input)).toBe('accepted');
  });
});

it('names each attack once', () => {
  const names = families.flatMap(([, attacks]) => attacks.map(({ name }) => name));
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  expect(names.length).toBeGreaterThan(40);
});

it('has an attack for each reason', () => {
  const attacked = new Set(families.flatMap(([, attacks]) => attacks.map(({ reason }) => reason)));
  expect(rejectionReasons.filter((reason) => !attacked.has(reason))).toEqual([
    // an assertion like any other, but no identity: see identity.test.ts
    'name_id_transient',
    // the schema refuses such a condition before: see assertion-checks.test.ts
    'condition_unknown',
  ]);
});
