import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { eventsOf, expectErrorPage, groupsIn, latestTrace } from '../../support/broker-evidence.ts';
import {
  answerOidc,
  answerSaml,
  beginOidcLogin,
  beginSamlLogin,
  logInByOidc,
  logInBySaml,
  type OidcConnection,
  type SamlConnection,
} from '../../support/broker-login.ts';
import { createSamlIdp, type SamlIdp, type SamlPerson } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, type OidcIdpUser, startOidcIdp } from '../../support/oidc-idp.ts';

let world: BrokerWorld;
let samlIdp: SamlIdp;
let idp: OidcIdp;
let acme: TestWorkspace;

beforeAll(async () => {
  samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, idp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
  acme = await world.api.workspace('acme', { design: null, platform: 'builder' });
});
afterEach(() => idp.behave());
afterAll(async () => {
  await world.stop();
  await idp.stop();
});

type Sync = Readonly<Record<string, unknown>>;
const viaOidc = (groupSync: Sync = {}) => connectOidc(world, idp, { workspace: 'acme', groupSync });
const viaSaml = (groupSync: Sync = {}) => connectSaml(world, samlIdp, { workspace: 'acme', groupSync });

let people = 0;
const person = (groups?: readonly string[]): SamlPerson => ({
  nameId: `person-${++people}`,
  email: `person-${people}@customer.example`,
  ...(groups && { groups }),
});

const heldEvents = async (userId: string) =>
  (await eventsOf(world, userId)).filter(({ type }) => type === 'sync.held').map(({ data }) => data.reason);

const withRole = (role: string, groups: readonly string[], version = 1) => [
  { workspace_id: acme.id, workspace: 'acme', role, groups, membership_version: version },
];

describe('R25 unknown is not empty', () => {
  test('absent holds the membership and says so; [] means none and takes it away', async () => {
    const connection = await viaSaml();
    const { nameId } = person();
    const given = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const absent = await logInBySaml(world, connection, { nameId });
    expect(absent.memberships).toEqual(given.memberships);
    expect(given.memberships).toEqual(withRole('builder', ['platform']));
    expect(await heldEvents(given.sub)).toEqual(['groups_absent']);
    expect(groupsIn(await latestTrace(world, given.sub))).toMatchObject([{ state: 'unknown', reason: 'absent' }]);

    const none = await logInBySaml(world, connection, { nameId, groups: [] });
    expect(none.memberships).toEqual(withRole('end-user', [], 2));
    expect(await heldEvents(given.sub)).toEqual(['groups_absent']);
  });

  test('R38 R37 a held membership keeps the reasons and the login that gave it', async () => {
    const connection = await viaSaml();
    const { nameId } = person();
    const { sub } = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const before = await world.api.explain(acme.id, sub);
    await logInBySaml(world, connection, { nameId });
    expect(await world.api.explain(acme.id, sub)).toEqual(before);
  });

  const overages: readonly [string, Partial<OidcIdpUser>, 'overage' | 'id_token'][] = [
    ["Entra ID's _claim_names", { groups: ['design'] }, 'overage'],
    ["Entra ID's hasgroups", { claims: { hasgroups: true } }, 'id_token'],
  ];
  test.each(overages)('an overage marker holds it: %s', async (_, user, groupsIn_) => {
    const connection = await viaOidc();
    const sub = `overage-${++people}`;
    const given = await logInByOidc(world, connection, { sub, groups: ['platform'] });
    idp.behaviour.groupsIn = groupsIn_;
    const { memberships } = await logInByOidc(world, connection, { sub, ...user });
    expect(memberships).toEqual(given.memberships);
    expect(await heldEvents(given.sub)).toEqual(['groups_overage']);
  });

  test("Entra ID's overage attribute of SAML holds it", async () => {
    const connection = await viaSaml();
    const { nameId } = person();
    const given = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const link = { 'http://schemas.microsoft.com/claims/groups.link': ['https://graph.example/groups'] };
    const { memberships } = await logInBySaml(world, connection, { nameId, attributes: link });
    expect(memberships).toEqual(given.memberships);
    expect(await heldEvents(given.sub)).toEqual(['groups_overage']);
  });

  test('a list at the truncation limit holds it, and one below is whole', async () => {
    const connection = await viaSaml({ group_claim: { name: 'groups', truncation_limit: 3 } });
    const { nameId } = person();
    const given = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const full = await logInBySaml(world, connection, { nameId, groups: ['a', 'b', 'c'] });
    expect(full.memberships).toEqual(given.memberships);
    expect(await heldEvents(given.sub)).toEqual(['groups_truncated']);
    const below = await logInBySaml(world, connection, { nameId, groups: ['a', 'b'] });
    expect(below.memberships).toEqual(withRole('end-user', [], 2));
  });

  test('a userinfo that fails holds it, and the trace has a note', async () => {
    const connection = await viaOidc();
    const sub = `userinfo-${++people}`;
    const user = { sub, email: 'u@customer.example', groups: ['platform'] };
    const given = await logInByOidc(world, connection, user);
    Object.assign(idp.behaviour, { groupsIn: 'userinfo', userinfo: 'error' });
    expect((await logInByOidc(world, connection, user)).memberships).toEqual(given.memberships);
    expect((await latestTrace(world, given.sub)).detail.notes).toEqual(['userinfo_failed:http_500']);
  });

  test('a first login with unknown groups gets the fallback role', async () => {
    const { sub, memberships } = await logInBySaml(world, await viaSaml(), person());
    expect(memberships).toEqual(withRole('end-user', []));
    expect(await heldEvents(sub)).toEqual(['groups_absent']);
  });

  test('the policy treat-as-empty takes it away', async () => {
    const connection = await viaSaml({ unknown_groups: 'treat-as-empty' });
    const { nameId } = person();
    await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const { sub, memberships } = await logInBySaml(world, connection, { nameId });
    expect(memberships).toEqual(withRole('end-user', [], 2));
    expect(await heldEvents(sub)).toEqual([]);
  });

  test('the policy deny refuses the login and leaves the membership as it was', async () => {
    const connection = await viaSaml({ unknown_groups: 'deny' });
    const { nameId } = person();
    const given = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const login = await beginSamlLogin(world, connection);
    const visit = await answerSaml(login, connection, { nameId });
    await expectErrorPage(world, visit, { code: 'not_entitled', reason: 'groups_unknown', traced: true });
    expect((await logInBySaml(world, connection, { nameId, groups: ['platform'] })).memberships).toEqual(given.memberships);
  });
});

describe('R22 known groups of which none matches', () => {
  const noMatch = async (policy: string): Promise<SamlConnection> => viaSaml({ no_match: policy });

  test('fallback: the lowest role', async () => {
    const { memberships } = await logInBySaml(world, await noMatch('fallback'), person(['Nobody knows it']));
    expect(memberships).toEqual(withRole('end-user', []));
  });

  test('keep: as it was, and nothing is held back', async () => {
    const connection = await noMatch('keep');
    const { nameId } = person();
    const given = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const { sub, memberships } = await logInBySaml(world, connection, { nameId, groups: ['Nobody knows it'] });
    expect(memberships).toEqual(given.memberships);
    expect(await heldEvents(sub)).toEqual([]);
  });

  test('deny: the login is refused, the membership removed, and a matching group brings it back', async () => {
    const connection = await noMatch('deny');
    const { nameId } = person();
    const given = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    const login = await beginSamlLogin(world, connection);
    const visit = await answerSaml(login, connection, { nameId, groups: ['Nobody knows it'] });
    const refused = { code: 'not_entitled', reason: 'no_matching_group', traced: true } as const;
    const { trace } = await expectErrorPage(world, visit, refused);
    expect(trace).toMatchObject({ user_id: given.sub, detail: { workspaces: [{ groups: { state: 'known', count: 1 } }] } });
    expect(await world.api.explain(acme.id, given.sub)).toMatchObject({ status: 'removed', version: 2 });
    const again = await logInBySaml(world, connection, { nameId, groups: ['platform'] });
    expect(again.memberships).toEqual(withRole('builder', ['platform'], 3));
  });

  test('deny refuses a stranger without making a user of them', async () => {
    const connection = await noMatch('deny');
    const { nameId } = person();
    const login = await beginSamlLogin(world, connection);
    const visit = await answerSaml(login, connection, { nameId, groups: [] });
    await expectErrorPage(world, visit, { code: 'not_entitled', reason: 'no_matching_group', traced: true });
    expect(await world.stores.db('identities').where({ subject: nameId })).toEqual([]);
  });

  test('deny by one of several workspaces leaves the others', async () => {
    await world.api.workspace('other', { design: null });
    const connection: OidcConnection = await connectOidc(world, idp, {
      groupSync: { no_match: 'deny', mapping: 'Architects -> design' },
      fields: {
        sync_list: [
          { workspace: 'acme', is_default: true },
          { workspace: 'other', mapping: 'Nobody -> design' },
        ],
      },
    });
    const login = await beginOidcLogin(world, connection, { sub: 'arch', groups: ['Architects'] });
    const { leadsTo } = await answerOidc(login);
    const tokens = await world.app.redeem(login.request, leadsTo ?? '');
    expect(tokens.memberships).toEqual(withRole('end-user', ['design']));
  });
});
