import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProblemBody, TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc, connectSaml } from '../../support/broker-connections.ts';
import { expectRefusal, groupsIn, latestTrace } from '../../support/broker-evidence.ts';
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
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

/** Names that break something somewhere, if anything quotes, parses or compares them wrongly. */
const names: Readonly<Record<string, string>> = {
  prototype: '__proto__',
  constructor: 'constructor',
  long: 'x'.repeat(1_000),
  'long emoji': '🦊'.repeat(500),
  'emoji with joiners': '👩🏽‍💻👨‍👩‍👧‍👦',
  'right to left': 'مديرو النظام',
  'bidirectional override': '\u202enimda\u202c',
  'combining marks': 'Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢',
  'zero width': 'ad\u200bmin',
  'byte order mark': 'ad\ufeffmin',
  SQL: "Robert'); DROP TABLE users; --",
  'SQL bindings': '? :name ?? $1 %s',
  'SQL array': '{a,"b",NULL}',
  templates: '$\u007b7*7} {{7*7}} <%= 7*7 %> #{7*7}',
  HTML: `<script>alert(1)</script><img src=x onerror='alert(1)'>`,
  'quotes and backslashes': `"quo'ted" \\ \\u0000 \\x00`,
  'mapping text': 'a -> b, "c" → d',
  'line breaks and tabs': 'first\nsecond\tthird',
  entities: '&lt;admin&gt; &#x3c; &amp;',
  JSON: '{"role":"admin"}',
  'line separators': 'a\u2028b\u2029c',
  'private and unassigned': '\ue000\u{f0000}\u{10ffff}\ufffd',
};

let world: BrokerWorld;
let idp: OidcIdp;
let receiver: WebhookReceiver;
let acme: TestWorkspace;
let saml: SamlConnection;
let oidc: OidcConnection;

beforeAll(async () => {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  [world, idp, receiver] = await Promise.all([
    startBrokerWorld({ settings: { delivery: { enabled: true } } }),
    startOidcIdp(),
    startWebhookReceiver(),
  ]);
  acme = await world.api.workspace('acme', {});
  const groups = Object.values(names).map((name) => ({ name }));
  await world.api.put(`/v1/workspaces/${acme.id}/app-groups`, { groups });
  saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  oidc = await connectOidc(world, idp, { workspace: 'acme' });
  const { secret } = await world.api.post<{ secret: string }>('/v1/endpoints', { url: receiver.url });
  receiver.secrets.push(secret);
});
afterAll(async () => {
  await world.stop();
  await Promise.all([idp.stop(), receiver.close()]);
});

const byCodePoint = (list: readonly string[]) => [...list].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
const everyName = byCodePoint(Object.values(names));

describe('names of groups from the IdP to the app', () => {
  test.each(['SAML', 'OpenID Connect'])('by %s every name arrives as it was sent', async (protocol) => {
    const { sub, memberships, userinfo } =
      protocol === 'SAML'
        ? await logInBySaml(world, saml, { nameId: 'all', groups: everyName })
        : await logInByOidc(world, oidc, { sub: 'all', email: 'all@customer.example', groups: everyName });
    expect(memberships).toMatchObject([{ role: 'end-user', groups: everyName }]);
    expect(userinfo.memberships).toEqual(memberships);
    const explanation = await world.api.explain(acme.id, sub);
    expect(new Set(explanation.groups.map(({ name }) => name))).toEqual(new Set(everyName));
    expect(new Set(explanation.reasons.flatMap(({ idp_group }) => idp_group ?? []))).toEqual(new Set(everyName));
    const { rows } = await world.stores.db.raw('SELECT last_groups FROM identities WHERE user_id = ?', [sub]);
    expect(rows[0].last_groups.groups).toEqual(everyName);

    await receiver.until(() => receiver.accepted().some(({ type, userId }) => type === 'membership.created' && userId === sub));
    const webhook = receiver.accepted().find(({ type, userId }) => type === 'membership.created' && userId === sub);
    const sent = JSON.parse(webhook?.text ?? '{}').data.groups.map(({ name }: { name: string }) => name);
    expect(new Set(sent)).toEqual(new Set(everyName));
    expect(receiver.refused).toBe(0);
  });

  test.each(Object.entries(names))('R15 R17 a rule from and to it: %s', async (_, name) => {
    const connection = await connectSaml(world, saml.idp, {
      workspace: 'acme',
      groupSync: { mapping: { rules: [{ from: name, to: name }], one_to_one: false } },
    });
    const { memberships } = await logInBySaml(world, connection, { nameId: `rule ${name.slice(0, 200)}`, groups: [name] });
    expect(memberships).toMatchObject([{ groups: [name] }]);
    // The text form of it, read again, is the same rule.
    const { mapping_text: text } = await world.api.get<{ mapping_text: string }>(`/v1/connections/${connection.id}`);
    await world.api.patch(`/v1/connections/${connection.id}`, { group_sync: { mapping: { rules: text, one_to_one: false } } });
    const again = await logInBySaml(world, connection, { nameId: `rule ${name.slice(0, 200)}`, groups: [name] });
    expect(again.memberships).toEqual(memberships);
  });

  test('R23 made from them by a rule with a capture, and none of them becomes a role', async () => {
    const { id } = await world.api.workspace('made');
    const mapping = { rules: [{ from: '(?s)^(.+)$', match: 'regex', to: 'made $1' }], one_to_one: false };
    const groupSync = { create_missing_groups: true, mapping };
    const connection = await connectSaml(world, saml.idp, { workspace: 'made', groupSync });
    const groups = everyName.filter((name) => name.length < 990);
    const { memberships } = await logInBySaml(world, connection, { nameId: 'maker', groups });
    expect(memberships).toMatchObject([{ role: 'end-user', groups: byCodePoint(groups.map((name) => `made ${name}`)) }]);
    expect(await world.stores.db('app_groups').where({ workspace_id: id })).toHaveLength(groups.length);
  });

  test('R23 a name that no index of Postgres can hold is refused in the catalogue, and skipped where a rule would make it', async () => {
    // Random, so that nothing can be compressed.
    const characters = (count: number) =>
      Array.from({ length: count }, () => String.fromCodePoint(randomInt(0x4e00, 0x9fff))).join('');
    const [tooLong, justRight] = [characters(867), characters(866)];
    const { id } = await world.api.workspace('long');
    const put = (name: string) => world.api.call<ProblemBody>('PUT', `/v1/workspaces/${id}/app-groups`, { groups: [{ name }] });
    expect(await put(tooLong)).toMatchObject({ status: 422, body: { errors: [{ path: 'groups.0.name' }] } });
    expect((await put(justRight)).status).toBe(200);

    const mapping = { rules: [{ from: '^x(.+)$', match: 'regex', to: '$1' }] };
    const connection = await connectSaml(world, saml.idp, { workspace: id, groupSync: { create_missing_groups: true, mapping } });
    const groups = [`x${tooLong}`, `x${justRight}`, `x${characters(866)}`];
    const { sub, memberships } = await logInBySaml(world, connection, { nameId: 'long', groups });
    expect(memberships[0]?.groups).toHaveLength(2);
    expect((await world.api.explain(id, sub)).warnings).toMatchObject([{ kind: 'target-missing', idp_group: `x${tooLong}` }]);
  });

  test('a thousand groups of one person', async () => {
    const many = Array.from({ length: 1_000 }, (_, n) => `group ${n}`);
    await world.api.put(`/v1/workspaces/${acme.id}/app-groups`, { groups: many.map((name) => ({ name })) });
    const { memberships } = await logInBySaml(world, saml, { nameId: 'many', groups: many });
    expect(memberships[0]?.groups).toHaveLength(1_000);
  });
});

describe('names of people', () => {
  /** Fit for a page and a list of members: one line, without control characters. */
  const lines = Object.entries(names).filter(([, name]) => !/\p{Cc}/u.test(name));

  test.each(lines)('as NameID, name and sub: %s', async (_, name) => {
    const short = [...name].slice(0, 60).join('');
    const shown = short.trim();
    const bySaml = await logInBySaml(world, saml, { nameId: short, name: short, groups: [] });
    const again = await logInBySaml(world, saml, { nameId: short, name: short, groups: [] });
    expect(again.sub).toBe(bySaml.sub);
    const byOidc = await logInByOidc(world, oidc, { sub: `s ${short}`, email: 'e@customer.example', name: short, groups: [] });
    expect([bySaml.claims.name, byOidc.claims.name]).toEqual([shown, shown]);
    const path = `/v1/workspaces/${acme.id}/members/${bySaml.sub}`;
    expect(await world.api.get(path)).toMatchObject({ user: { name: shown } });
  });

  test.each([
    ['with line breaks', names['line breaks and tabs'] ?? ''],
    ['longer than anybody is called', 'x'.repeat(321)],
  ])('a name %s is left out by both protocols, and nothing else', async (_, name) => {
    const bySaml = await logInBySaml(world, saml, { nameId: 'nameless', email: 'n@customer.example', name, groups: [] });
    const byOidc = await logInByOidc(world, oidc, { sub: 'nameless', email: 'n@customer.example', name, groups: [] });
    for (const { userinfo } of [bySaml, byOidc]) {
      expect(userinfo).not.toHaveProperty('name');
      expect(userinfo.email).toBe('n@customer.example');
    }
  });

  test('a byte order mark before a value of SAML is refused: the parser would drop it', async () => {
    const login = await beginSamlLogin(world, saml);
    const answer = () => answerSaml(login, saml, { nameId: '\ufeffada', groups: [] });
    await expectRefusal(world, answer, { code: 'assertion_rejected', reason: 'byte_order_mark_not_allowed', traced: true });
    expect((await answerSaml(login, saml, { nameId: 'ada', groups: [] })).leadsTo).toContain('code=');
  });

  test('subjects that look alike are different people', async () => {
    const alike = [
      'ada',
      'Ada',
      'ada ',
      ' ada',
      'ada\u200b',
      'ad\u0430',
      'jos\u00e9',
      'jose\u0301',
      'ada\ufeff',
      'ada\ufffd',
      'ａｄａ',
    ];
    const subs: string[] = [];
    for (const nameId of alike) subs.push((await logInBySaml(world, saml, { nameId, groups: [] })).sub);
    expect(new Set(subs).size).toBe(alike.length);
  });
});

describe('what Postgres cannot store', () => {
  test.each([
    ['NUL', 'a\0b'],
    ['half a surrogate pair', 'a\ud800'],
    ['the other half', '\udc00b'],
  ])('R25 %s in a group: the membership is held, never an error', async (_, bad) => {
    const sub = `unstorable ${bad.length}`;
    const user = { sub, email: 'u@customer.example' };
    const given = await logInByOidc(world, oidc, { ...user, groups: ['constructor'] });
    const held = await logInByOidc(world, oidc, { ...user, groups: ['constructor', bad] });
    expect(held.memberships).toEqual(given.memberships);
    expect(groupsIn(await latestTrace(world, given.sub))).toMatchObject([{ state: 'unknown', reason: 'malformed' }]);
    // In what nobody reads it does no harm, and in the profile it is left out.
    const claims = { [`claim ${bad}`]: bad, nested: { [bad]: [bad] }, given_name: bad, sid: bad };
    const { userinfo } = await logInByOidc(world, oidc, { ...user, name: bad, groups: ['constructor'], claims });
    expect(userinfo).toMatchObject({ email: 'u@customer.example' });
    expect(userinfo).not.toHaveProperty('name');
    expect(userinfo).not.toHaveProperty('given_name');
  });

  test.each([
    ['NUL', 'a\0b'],
    ['half a surrogate pair', 'a\ud800'],
    ['a line break', 'a\nb'],
  ])('%s in the subject: refused', async (_, sub) => {
    idp.users.set('by another hint', { sub, email: 'u@customer.example', groups: [] });
    const login = await beginOidcLogin(world, oidc, { sub: 'ada' }, { parameters: { login_hint: 'by another hint' } });
    await expectRefusal(world, () => answerOidc(login), { code: 'assertion_rejected', reason: 'subject_invalid', traced: true });
    expect((await logInByOidc(world, oidc, { sub: 'a b', email: 'u@customer.example', groups: [] })).memberships).toHaveLength(1);
  });

  test('R25 names and lists longer than Rollcall reads: the membership is held', async () => {
    const user = { sub: 'longer', email: 'u@customer.example' };
    const given = await logInByOidc(world, oidc, { ...user, groups: ['constructor'] });
    for (const groups of [
      ['x'.repeat(1_025)],
      Array.from({ length: 10_001 }, () => 'g'),
      Array.from({ length: 5 }, (_, n) => ({ n })),
    ]) {
      expect((await logInByOidc(world, oidc, { ...user, groups })).memberships).toEqual(given.memberships);
    }
  });
});

describe('claims that reach for the prototype', () => {
  test('give neither groups nor a profile', async () => {
    const inherited = { groups: ['admin'], email: 'evil@customer.example', email_verified: true, name: 'Evil' };
    const claims = JSON.parse(
      `{"__proto__": ${JSON.stringify(inherited)}, "constructor": {"prototype": ${JSON.stringify(inherited)}}}`,
    );
    const { memberships, userinfo } = await logInByOidc(world, oidc, { sub: 'reaching', claims });
    expect(memberships).toMatchObject([{ role: 'end-user', groups: [] }]);
    expect(userinfo).not.toHaveProperty('email');
    expect(userinfo).not.toHaveProperty('name');
    expect(({} as Record<string, unknown>).groups).toBeUndefined();
  });

  test('deep nesting is no stack overflow', async () => {
    const deep = JSON.parse(`${'['.repeat(3_000)}${']'.repeat(3_000)}`);
    const { memberships } = await logInByOidc(world, oidc, { sub: 'deep', email: 'd@customer.example', groups: deep });
    expect(memberships).toMatchObject([{ role: 'end-user' }]);
  });
});
