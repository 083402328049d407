import { describe, expect, it } from 'vitest';
import { assertionChecks } from '../../../src/saml/assertion-checks.ts';
import type { CheckInput } from '../../../src/saml/check-input.ts';

const sp = 'https://rollcall.example/saml/c1/metadata';
const idp = { value: 'https://idp.example', format: null };

/** An input that passes every check. */
const sound: CheckInput = {
  response: { version: '2.0', issueInstant: 1000, issuer: idp, destination: 'https://rollcall.example/acs', inResponseTo: '_1' },
  responseSigned: true,
  assertion: {
    version: '2.0',
    id: '_a',
    issueInstant: 1000,
    issuer: idp,
    nameId: { value: 'ada', format: null, nameQualifier: null, spNameQualifier: null },
    confirmations: [
      {
        method: 'urn:oasis:names:tc:SAML:2.0:cm:bearer',
        recipient: 'https://rollcall.example/acs',
        inResponseTo: '_1',
        notBefore: null,
        notOnOrAfter: 2000,
      },
    ],
    conditions: { notBefore: 500, notOnOrAfter: 2000, audienceRestrictions: [[sp]], hasUnknown: false },
    authnStatements: [{ authnInstant: 900, sessionIndex: null, sessionNotOnOrAfter: null }],
    attributes: [],
  },
  expected: { idpEntityId: 'https://idp.example', spEntityId: sp, acsUrl: 'https://rollcall.example/acs', requestId: '_1' },
  now: 1000,
  clockSkewMilliseconds: 0,
};

function failing(input: CheckInput): string[] {
  return assertionChecks.flatMap(({ check }) => {
    try {
      check(input);
      return [];
    } catch (error) {
      return [(error as { reason: string }).reason];
    }
  });
}

/** Checks that nothing gets to through the schema, which comes before: they hold by themselves, too. */
describe('each check by itself', () => {
  it('passes a sound assertion', () => {
    expect(failing(sound)).toEqual([]);
  });

  it('refuses a condition that is not understood', () => {
    const { assertion } = sound;
    const conditions = { notBefore: 500, notOnOrAfter: 2000, audienceRestrictions: [[sp]], hasUnknown: true };
    expect(failing({ ...sound, assertion: { ...assertion, conditions } })).toEqual(['condition_unknown']);
  });

  it('refuses an assertion without Issuer, without Conditions, without time of issue', () => {
    const { assertion } = sound;
    expect(failing({ ...sound, assertion: { ...assertion, issuer: null } })).toEqual(['assertion_issuer_mismatch']);
    expect(failing({ ...sound, assertion: { ...assertion, issueInstant: null } })).toEqual(['time_invalid']);
    expect(failing({ ...sound, assertion: { ...assertion, conditions: null } })).toContain('conditions_missing');
    expect(failing({ ...sound, assertion: { ...assertion, conditions: null } })).toContain('audience_missing');
  });

  it('compares exactly: no case, no trailing slash, no white space, no prefix is forgiven', () => {
    for (const change of [
      (text: string) => text.toUpperCase(),
      (text: string) => `${text}/`,
      (text: string) => ` ${text}`,
      (text: string) => text.slice(0, -1),
    ]) {
      const { expected } = sound;
      expect(failing({ ...sound, expected: { ...expected, spEntityId: change(expected.spEntityId) } })).toEqual([
        'audience_mismatch',
      ]);
      expect(failing({ ...sound, expected: { ...expected, acsUrl: change(expected.acsUrl) } })).toContain('recipient_mismatch');
      expect(failing({ ...sound, expected: { ...expected, acsUrl: change(expected.acsUrl) } })).toContain('destination_mismatch');
      expect(failing({ ...sound, expected: { ...expected, idpEntityId: change(expected.idpEntityId) } })).toEqual([
        'response_issuer_mismatch',
        'assertion_issuer_mismatch',
      ]);
    }
    expect(failing({ ...sound, expected: { ...sound.expected, requestId: '_1 ' } })).toContain('in_response_to_mismatch');
  });

  it('has a name and a section for each', () => {
    const names = assertionChecks.map(({ check }) => check.name);
    expect(new Set(names).size).toBe(names.length);
    expect(assertionChecks.every(({ section }) => /^SAML (Core|Profiles|Bindings) \d/.test(section))).toBe(true);
  });
});

/** Details go to logs and traces. */
it('no detail repeats a value that could be a person', () => {
  const details = [
    {
      ...sound,
      expected: { ...sound.expected, spEntityId: 'x' },
      assertion: {
        ...sound.assertion,
        conditions: { notBefore: 0, notOnOrAfter: 9999, audienceRestrictions: [['ada@customer.example']], hasUnknown: false },
      },
    },
    { ...sound, response: { ...sound.response, destination: 'https://x.example/?login=ada@customer.example' } },
    { ...sound, response: { ...sound.response, issuer: { value: 'Ada Lovelace', format: null } } },
  ].flatMap((input) =>
    assertionChecks.flatMap(({ check }) => {
      try {
        check(input);
        return [];
      } catch (error) {
        return [(error as Error).message];
      }
    }),
  );
  expect(details).toHaveLength(3);
  expect(details.filter((detail) => /ada/i.test(detail))).toEqual([]);
});
