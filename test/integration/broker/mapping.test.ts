import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestWorkspace } from '../../support/broker-api.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { logInBySaml } from '../../support/broker-login.ts';
import { createSamlIdp, type SamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';

let world: BrokerWorld;
let idp: SamlIdp;
let acme: TestWorkspace;

beforeAll(async () => {
  idp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  world = await startBrokerWorld();
  acme = await world.api.workspace('acme', { design: null, platform: 'builder', 'Sales, EMEA': null, ops: null });
});
afterAll(() => world.stop());

type Sync = Readonly<Record<string, unknown>>;
let people = 0;

/** One login of somebody new with these groups: what they get, and why. */
async function given(groups: readonly string[], groupSync: Sync = {}) {
  const connection = await connectSaml(world, idp, { workspace: 'acme', groupSync });
  const { sub, memberships } = await logInBySaml(world, connection, { nameId: `person-${++people}`, groups });
  const { reasons, warnings } = await world.api.explain(acme.id, sub);
  const [membership] = memberships;
  return { role: membership?.role, groups: membership?.groups, reasons, warnings };
}

const rules = (mapping: unknown, more: Sync = {}): Sync => ({ mapping, ...more });
const pattern = (match: 'glob' | 'regex', from: string, to: string) => rules({ rules: [{ from, match, to }] });

describe('R15 R17 rules', () => {
  test.each([
    ['a group goes where its rule says', ['Architects'], 'Architects -> design', ['design']],
    ['and not also by its own name', ['ops'], 'ops -> design', ['design']],
    ['one to many', ['Architects'], 'Architects -> design, Architects → ops', ['design', 'ops']],
    ['many to one', ['Architects', 'Artists'], 'Architects -> design, Artists -> design', ['design']],
    ['a quoted name with a comma', ['Team "A", north'], '"Team \\"A\\", north" -> "Sales, EMEA"', ['Sales, EMEA']],
    ['names with an arrow in them', ['a -> b'], '"a -> b" -> ops', ['ops']],
  ])('%s', async (_, idpGroups, mapping, groups) => {
    expect(await given(idpGroups, rules(mapping))).toMatchObject({ role: 'end-user', groups });
  });

  test('many to one keeps every reason; a repeated group is a warning', async () => {
    const both = await given(['Architects', 'Artists', 'Artists'], rules('Architects -> design, Artists -> design'));
    const ofDesign = both.reasons.filter(({ grant }) => 'kind' in grant && grant.kind === 'group');
    expect(ofDesign.map(({ idp_group }) => idp_group)).toEqual(['Architects', 'Artists']);
    expect(both.warnings).toEqual([{ kind: 'duplicate-group', idp_group: 'Artists', times: 2 }]);
  });

  test('the 1:1 rule serves the groups that no rule names, and can be switched off', async () => {
    const mapping = { rules: [{ from: 'Architects', to: 'ops' }] };
    expect(await given(['Architects', 'design'], rules(mapping))).toMatchObject({ groups: ['design', 'ops'] });
    expect(await given(['Architects', 'design'], rules({ ...mapping, one_to_one: false }))).toMatchObject({ groups: ['ops'] });
  });

  test('glob and regular expression with a capture', async () => {
    expect(await given(['eng-berlin', 'english'], pattern('glob', 'eng-*', 'platform'))).toMatchObject({ groups: ['platform'] });
    expect(await given(['app-design'], pattern('regex', '^app-(.+)$', '$1'))).toMatchObject({ groups: ['design'] });
    // Anchored: neither is taken for the other's part.
    expect(await given(['my-app-design'], pattern('regex', '^app-(.+)$', '$1'))).toMatchObject({ groups: [] });
    // What a person can name becomes a target, so a role only where the operator wrote such a rule.
    expect(await given(['app-admin'], pattern('regex', '^app-(.+)$', '$1'))).toMatchObject({ role: 'admin' });
  });

  test('R16 exact code points: case, Unicode form and edge spaces are near misses, reported and not applied', async () => {
    const { role, groups, warnings } = await given(['Design', ' design', 'PLATFORM'], {});
    expect({ role, groups }).toEqual({ role: 'end-user', groups: [] });
    const nearMisses = warnings.filter(({ kind }) => kind === 'near-miss');
    expect(nearMisses).toHaveLength(3);
    expect(nearMisses).toContainEqual({ kind: 'near-miss', idp_group: ' design', name: 'design', difference: 'edge-space' });
  });
});

describe('R18 R19 R21 roles', () => {
  test.each([
    ['a role by its name', ['admin'], 'admin', []],
    ['several: the highest', ['end-user', 'builder', 'admin'], 'admin', []],
    ['an app group brings the role that it requires', ['platform'], 'builder', ['platform']],
    ['an app group that requires none brings the lowest', ['design'], 'end-user', ['design']],
    ['admin and a group: both', ['admin', 'platform'], 'admin', ['platform']],
    ['end-user and a group that requires builder: raised', ['end-user', 'platform'], 'builder', ['platform']],
    ['another case is no role', ['Admin'], 'end-user', []],
  ])('%s', async (_, idpGroups, role, groups) => {
    expect(await given(idpGroups)).toMatchObject({ role, groups });
  });

  test('R18 a role as the target of a rule', async () => {
    expect(await given(['IT'], rules('IT -> admin'))).toMatchObject({ role: 'admin', groups: [] });
  });

  test('R18 no app group may take the name of a role', async () => {
    const path = `/v1/workspaces/${acme.id}/app-groups`;
    const { status, body } = await world.api.call<{ code: string }>('PUT', path, { groups: [{ name: 'admin' }] });
    expect({ status, code: body.code }).toEqual({ status: 422, code: 'validation_failed' });
  });
});

describe('R20 R23 targets', () => {
  test('a target that does not exist is skipped and recorded, and the others hold', async () => {
    const { groups, warnings } = await given(['Architects', 'design'], rules('Architects -> nowhere'));
    expect(groups).toEqual(['design']);
    expect(warnings).toContainEqual({ kind: 'target-missing', idp_group: 'Architects', target: 'nowhere', rule_index: 0 });
    const path = `/v1/workspaces/${acme.id}/app-groups?limit=200`;
    const { data } = await world.api.get<{ data: { name: string }[] }>(path);
    expect(data.map(({ name }) => name)).not.toContain('nowhere');
  });

  test('create_missing_groups makes targets of rules, once, and never groups that no rule names', async () => {
    const sync = rules('Architects -> made-up', { create_missing_groups: true });
    const connection = await connectSaml(world, idp, { workspace: 'acme', groupSync: sync });
    const first = await logInBySaml(world, connection, { nameId: 'first', groups: ['Architects', 'Not named'] });
    const second = await logInBySaml(world, connection, { nameId: 'second', groups: ['Architects'] });
    expect(first.memberships).toMatchObject([{ role: 'end-user', groups: ['made-up'] }]);
    expect(second.memberships).toMatchObject([{ groups: ['made-up'] }]);
    const made = await world.stores.db('app_groups').whereIn('name', ['made-up', 'Not named']);
    expect(made.map(({ name }) => name)).toEqual(['made-up']);
  });

  test('R28 create_missing_groups by several first logins at once makes it once', async () => {
    const sync = rules('Architects -> made-at-once', { create_missing_groups: true });
    const connection = await connectSaml(world, idp, { workspace: 'acme', groupSync: sync });
    const logins = Array.from({ length: 6 }, (_, n) =>
      logInBySaml(world, connection, { nameId: `at-once-${n}`, groups: ['Architects'] }),
    );
    for (const { memberships } of await Promise.all(logins)) expect(memberships).toMatchObject([{ groups: ['made-at-once'] }]);
    expect(await world.stores.db('app_groups').where({ name: 'made-at-once' })).toHaveLength(1);
  });

  test('a catalogue that is changed through the API counts at the next login', async () => {
    const connection = await connectSaml(world, idp, { workspace: 'acme' });
    const before = await logInBySaml(world, connection, { nameId: 'catalogue', groups: ['newcomer'] });
    await world.api.put(`/v1/workspaces/${acme.id}/app-groups`, { groups: [{ name: 'newcomer', requires_role: 'admin' }] });
    const after = await logInBySaml(world, connection, { nameId: 'catalogue', groups: ['newcomer'] });
    expect(before.memberships).toMatchObject([{ role: 'end-user', groups: [], membership_version: 1 }]);
    expect(after.memberships).toMatchObject([{ role: 'admin', groups: ['newcomer'], membership_version: 2 }]);
  });
});

describe('R9 overrides of one workspace', () => {
  test('claim name and mapping are overridden each for itself', async () => {
    await world.api.workspace('west', { design: null });
    await world.api.workspace('east', { design: null });
    const connection = await connectSaml(world, idp, {
      groupSync: rules('Architects -> design'),
      fields: {
        sync_list: [
          { workspace: 'acme', is_default: true },
          { workspace: 'west', claim_name: 'teams' },
          { workspace: 'east', mapping: 'Architects -> admin' },
        ],
      },
    });
    const attributes = { groups: ['Architects'], teams: ['builder'] };
    const { memberships } = await logInBySaml(world, connection, { nameId: 'overrides', attributes });
    expect(memberships).toMatchObject([
      { workspace: 'acme', role: 'end-user', groups: ['design'] },
      { workspace: 'east', role: 'admin', groups: [] },
      { workspace: 'west', role: 'builder', groups: [] },
    ]);
  });
});
