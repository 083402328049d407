import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { bootstrapApiKey } from '../../support/api-stores.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';

const api = useApi();
const { get, post, put, patch } = api;

const oddNames = [
  '🦊 foxes 👩‍👩‍👧‍👦',
  'מנהלים ‮abc',
  'فريق',
  '__proto__',
  'constructor',
  "Robert'); DROP TABLE workspaces; --",
  ['$', '{7*7} {{7*7}} <%= 7*7 %> #{7*7}'].join(''),
  '<script>alert(1)</script>',
  '?:name ??',
  '%s %d \\n \\u0000',
  'e\u0301 and \u00e9',
  '\u{10FFFF}',
  'x'.repeat(200),
];

describe('names of every kind', () => {
  it.each(oddNames)('come back as they were sent: %s', async (name) => {
    const workspace = await post('/v1/workspaces', { slug: 'odd', display_name: name });
    expect([workspace.status, workspace.body.display_name]).toEqual([201, name]);
    expect((await get(workspace.headers.location as string)).body.display_name).toBe(name);
    const group_sync = { mapping: { rules: [{ from: name, to: name }] }, group_claim: name };
    const made = await post('/v1/connections', { display_name: name, protocol: samlProtocol, group_sync });
    const { body } = await get(made.headers.location as string);
    expect(body.display_name).toBe(name);
    expect(body.group_sync.group_claim.name).toBe(name);
    expect(body.group_sync.mapping.rules).toEqual([{ from: name, match: 'exact', to: name }]);
    // The text form of what was read is the same mapping.
    await patch(made.headers.location as string, { group_sync: { mapping: body.mapping_text } });
    expect((await get(made.headers.location as string)).body.group_sync.mapping).toEqual(body.group_sync.mapping);
    const groups = `/v1/workspaces/${api.acme}/app-groups`;
    await put(groups, { groups: [{ name }] });
    expect((await get(groups)).body.data.map((group: { name: string }) => group.name)).toContain(name);
    const key = await post('/v1/api-keys', { name, scope: 'instance' });
    expect((await get(key.headers.location as string)).body.name).toBe(name);
    const entry = (await get(`/v1/audit-log?resource=workspaces&resource_id=${workspace.body.workspace_id}`)).body.data[0];
    expect(entry.after.display_name).toBe(name);
  });

  it('of 1,000 characters are taken where names come from outside, and refused with the limit elsewhere', async () => {
    const name = 'ü'.repeat(1_000);
    const groups = `/v1/workspaces/${api.acme}/app-groups`;
    expect((await put(groups, { groups: [{ name }] })).body.data[0].name).toBe(name);
    expect(paths(await put(groups, { groups: [{ name: `${name}x` }] }))).toEqual(['groups.0.name']);
    // What an index of Postgres holds: 1,000 characters of most scripts, fewer of those that take three bytes each.
    const tooLong = await put(groups, { groups: [{ name: '狐'.repeat(1_000) }] });
    expect([paths(tooLong), tooLong.body.errors[0].message]).toEqual([['groups.0.name'], expect.stringContaining('2600 bytes')]);
    const rules = [{ from: name, to: name }];
    expect(
      (await post('/v1/connections', { display_name: 'x', protocol: samlProtocol, group_sync: { mapping: { rules } } })).status,
    ).toBe(201);
    for (const answer of [
      await post('/v1/workspaces', { slug: 'long', display_name: name }),
      await post('/v1/connections', { display_name: name, protocol: samlProtocol }),
    ]) {
      expect([answer.status, paths(answer)]).toEqual([422, ['display_name']]);
      expect(answer.body.errors[0].message).toContain('200');
    }
  });

  it('that cannot be stored are refused by their place', async () => {
    for (const name of ['nul\0', 'half \ud83e']) {
      expect(paths(await post('/v1/api-keys', { name, scope: 'instance' }))).toEqual(['name']);
    }
  });
});

describe('unknown fields', () => {
  const unknown = (body: object) => ({ ...body, colour: 'red' });

  it('are refused by every operation that takes a body, and named', async () => {
    const groups = `/v1/workspaces/${api.acme}/app-groups`;
    const connection = (await post('/v1/connections', { display_name: 'x', protocol: samlProtocol })).headers.location as string;
    const endpoint = (await post('/v1/endpoints', { url: 'https://app.example.com/hooks' })).headers.location as string;
    const answers = [
      await post('/v1/workspaces', unknown({ slug: 'x' })),
      await post('/v1/connections', unknown({ display_name: 'y', protocol: samlProtocol })),
      await patch(connection, unknown({})),
      await post('/v1/endpoints', unknown({ url: 'https://app.example.com/other' })),
      await patch(endpoint, unknown({})),
      await put('/v1/clients/app', unknown({ name: 'x' })),
      await put(groups, unknown({ groups: [] })),
      await post('/v1/api-keys', unknown({ name: 'x', scope: 'instance' })),
    ];
    for (const answer of answers) {
      expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
      expect(paths(answer)).toContain('colour');
    }
  });

  it('called like parts of a prototype change nothing, and are named', async () => {
    const raw = await request(api.server.app)
      .post('/v1/workspaces')
      .set('Authorization', `Bearer ${bootstrapApiKey}`)
      .set('Content-Type', 'application/json')
      .send('{"slug":"x","__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}');
    expect([raw.status, paths(raw)]).toEqual([422, ['__proto__', 'constructor']]);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });
});

describe('bodies', () => {
  const send = (text: string) =>
    request(api.server.app)
      .post('/v1/workspaces')
      .set('Authorization', `Bearer ${bootstrapApiKey}`)
      .set('Content-Type', 'application/json')
      .send(text);

  it('that are too large are refused with 413, also with an Idempotency-Key, which stays free', async () => {
    const large = JSON.stringify({ slug: 'large', display_name: 'x'.repeat(200_000) });
    const { status, body } = await send(large).set('Idempotency-Key', 'k-1');
    expect([status, body.code]).toEqual([413, 'payload_too_large']);
    expect((await send('{"slug":"small"}').set('Idempotency-Key', 'k-1')).status).toBe(201);
  });

  it.each([
    ['deep', `${'['.repeat(40_000)}${']'.repeat(40_000)}`, 422],
    ['a list', '[]', 422],
    ['a string', '"x"', 400],
    ['null', 'null', 400],
    ['broken', '{"slug":', 400],
    ['empty', '', 422],
  ])('that are %s are refused', async (_, text, expected) => {
    const { status, body } = await send(text);
    expect([status, typeof body.code]).toEqual([expected, 'string']);
  });
});
