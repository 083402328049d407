import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { logInByOidc, logInBySaml } from '../../support/broker-login.ts';
import { createSamlIdp, type SamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let samlIdp: SamlIdp;
let oidcIdp: OidcIdp;

beforeAll(async () => {
  samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, oidcIdp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
});
afterAll(async () => {
  await world.stop();
  await oidcIdp.stop();
});

interface Scenario {
  readonly title: string;
  /** What the identity provider sends. */
  readonly sent: readonly string[];
  /** App groups of the workspace, and the role that each requires. */
  readonly catalogue: Readonly<Record<string, string | null>>;
  readonly mapping: string;
  readonly gets: { readonly role: string; readonly groups: readonly string[] };
}

/** The table "Group Mapping Scenarios" of the sources, row by row; where a row leaves the role open, each of its cases. */
const scenarios: readonly Scenario[] = [
  ...['admin', 'builder', 'end-user'].map((role) => ({
    title: `1 R18 ${role}, a user role: the corresponding user role`,
    sent: [role],
    catalogue: {},
    mapping: '',
    gets: { role, groups: [] },
  })),
  {
    title: '2 R19 engineers exists and requires nothing: joined, end-user',
    sent: ['engineers'],
    catalogue: { engineers: null },
    mapping: '',
    gets: { role: 'end-user', groups: ['engineers'] },
  },
  {
    title: '2 R19 engineers exists and requires builder: joined, builder',
    sent: ['engineers'],
    catalogue: { engineers: 'builder' },
    mapping: '',
    gets: { role: 'builder', groups: ['engineers'] },
  },
  {
    title: '3 R20 engineers is missing and leads to developers, which requires nothing: joined, end-user',
    sent: ['engineers'],
    catalogue: { developers: null },
    mapping: 'engineers → developers',
    gets: { role: 'end-user', groups: ['developers'] },
  },
  {
    title: '3 R20 engineers is missing and leads to developers, which requires builder: joined, builder',
    sent: ['engineers'],
    catalogue: { developers: 'builder' },
    mapping: 'engineers → developers',
    gets: { role: 'builder', groups: ['developers'] },
  },
  {
    title: '4 R21 admin and developers: joined, admin',
    sent: ['admin', 'developers'],
    catalogue: { developers: 'builder' },
    mapping: '',
    gets: { role: 'admin', groups: ['developers'] },
  },
  {
    title: '5 R22 no group: end-user',
    sent: [],
    catalogue: { developers: 'builder' },
    mapping: '',
    gets: { role: 'end-user', groups: [] },
  },
];

describe('the five group mapping scenarios of the sources', () => {
  test.each(scenarios.map((scenario, index) => ({ ...scenario, index })))(
    '$title',
    async ({ index, sent, catalogue, mapping, gets }) => {
      const workspace = `scenario-${index}`;
      await world.api.workspace(workspace, catalogue);
      const groupSync = { mapping };
      const oidc = await connectOidc(world, oidcIdp, { workspace, groupSync });
      const saml = await connectSaml(world, samlIdp, { workspace, groupSync });
      const user = { sub: `person-${index}`, email: `person-${index}@customer.example`, claims: { groups: sent } };
      // An attribute without values is how a SAML identity provider says "none" (R25: an absent one would say nothing).
      const answer = { nameId: `person-${index}`, attributes: { groups: sent } };
      for (const { memberships } of [await logInByOidc(world, oidc, user), await logInBySaml(world, saml, answer)]) {
        expect(memberships).toMatchObject([{ workspace, ...gets }]);
      }
    },
  );
});
