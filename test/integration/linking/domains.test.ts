import { beforeEach, describe, expect, it } from 'vitest';
import { apiOn } from '../../support/api-stores.ts';
import { paths, useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { aServer } from '../../support/http-server.ts';

const api = useApi();
const { get, post, patch, remove } = api;
let records: Record<string, readonly string[] | Error>;
let connection: string;
const path = (rest = '') => `/v1/connections/${connection}/domains${rest}`;

beforeEach(async () => {
  records = {};
  const resolveTxt = async (domain: string) => {
    const found = records[domain] ?? [];
    if (found instanceof Error) throw found;
    return found;
  };
  api.serve(aServer({ api: apiOn(api.database.db, undefined, { resolveTxt }) }));
  connection = (await post('/v1/connections', { display_name: 'Okta', workspace: 'acme', protocol: samlProtocol })).body
    .connection_id;
});

describe('allowed e-mail domains', () => {
  it('R33 are verified by the TXT record that they ask for, by a workspace administrator too', async () => {
    const added = await post(path(), { domain: 'ACME.example.' }, api.keys.acme);
    expect([added.status, added.body]).toEqual([
      201,
      {
        domain: 'acme.example',
        status: 'pending',
        verified_by: null,
        verified_at: null,
        txt_record: { name: 'acme.example', value: expect.stringMatching(/^rollcall-verify=[\w-]{43}$/) },
        created_at: expect.any(String),
      },
    ]);
    const { value } = added.body.txt_record;
    records['acme.example'] = ['v=spf1 -all', value];
    const verified = await post(path('/acme.example/verify'), {}, api.keys.acme);
    expect([verified.status, verified.body]).toMatchObject([200, { status: 'verified', verified_by: 'dns' }]);
    expect((await get(path())).body).toEqual({ data: [verified.body], next_cursor: null });
  });

  it.each<[string, (value: string) => readonly string[]]>([
    ['is missing', () => []],
    ['is another one', () => ['rollcall-verify=AAAA']],
    ['only begins like it', (value) => [`${value}x`]],
    ['is its token alone', (value) => [value.replace('rollcall-verify=', '')]],
  ])('R33 stay pending while the record %s', async (_what, published) => {
    const { value } = (await post(path(), { domain: 'acme.example' }, api.keys.acme)).body.txt_record;
    records['acme.example'] = published(value);
    const refused = await post(path('/acme.example/verify'), {}, api.keys.acme);
    expect([refused.status, refused.body.reason]).toEqual([409, 'dns_record_missing']);
    expect((await get(path('/acme.example'))).body.status).toBe('pending');
  });

  it('R33 are not verified by the record of another connection', async () => {
    const other = (await post('/v1/connections', { display_name: 'Other', workspace: 'globex', protocol: samlProtocol })).body;
    const theirs = await post(`/v1/connections/${other.connection_id}/domains`, { domain: 'acme.example' }, api.keys.globex);
    await post(path(), { domain: 'acme.example' }, api.keys.acme);
    records['acme.example'] = [theirs.body.txt_record.value];
    expect((await post(path('/acme.example/verify'), {}, api.keys.acme)).status).toBe(409);
    expect((await post(`/v1/connections/${other.connection_id}/domains/acme.example/verify`, {}, api.keys.globex)).status).toBe(
      200,
    );
  });

  it('R33 stay pending when DNS does not answer', async () => {
    await post(path(), { domain: 'acme.example' });
    await post(path(), { domain: 'slow.example', status: 'pending' });
    records['slow.example'] = new Error('timeout');
    const refused = await post(path('/slow.example/verify'), {});
    expect([refused.status, refused.body.reason]).toEqual([503, 'dns']);
  });

  it('R13 R33 are allowed without proof by the instance only, and taken back by it only', async () => {
    for (const status of ['allowed', 'verified']) {
      const refused = await post(path(), { domain: 'acme.example', status }, api.keys.acme);
      expect([refused.status, refused.body.reason]).toEqual([403, 'instance_scope_required']);
    }
    expect((await post(path(), { domain: 'acme.example' })).body.status).toBe('allowed');
    expect((await post(path(), { domain: 'acme.example' }, api.keys.acme)).body.status).toBe('allowed');
    expect((await remove(path('/acme.example'), api.keys.acme)).status).toBe(403);
    expect((await post(path(), { domain: 'acme.example', status: 'verified' })).body).toMatchObject({ verified_by: 'admin' });
    expect((await remove(path('/acme.example'), api.keys.acme)).status).toBe(403);
    expect((await remove(path('/acme.example'))).status).toBe(204);
    expect((await get(path('/acme.example'))).status).toBe(404);
  });

  it('R13 of another workspace do not exist', async () => {
    await post(path(), { domain: 'acme.example' });
    const answers = await Promise.all([
      get(path(), api.keys.globex),
      get(path('/acme.example'), api.keys.globex),
      post(path(), { domain: 'evil.example' }, api.keys.globex),
      post(path('/acme.example/verify'), {}, api.keys.globex),
      remove(path('/acme.example'), api.keys.globex),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
    expect((await get(path(), api.keys.acme)).body.data).toHaveLength(1);
  });

  it.each<[string, object, string[]]>([
    ['no domain', {}, ['domain']],
    ['an address', { domain: 'ann@acme.example' }, ['domain']],
    ['a web address', { domain: 'https://acme.example' }, ['domain']],
    ['a name without a dot', { domain: 'localhost' }, ['domain']],
    ['an IP address', { domain: '127.0.0.1' }, ['domain']],
    ['an unknown field', { domain: 'acme.example', colour: 'red' }, ['colour']],
    ['an unknown status', { domain: 'acme.example', status: 'maybe' }, ['status']],
  ])('refuse %s', async (_what, body, fields) => {
    const refused = await post(path(), body);
    expect([refused.status, paths(refused)]).toEqual([422, fields]);
  });

  it('come in pages, and every change makes a new version of the connection', async () => {
    for (const domain of ['c.example', 'a.example', 'b.example']) await post(path(), { domain });
    const first = (await get(path('?limit=2'))).body;
    const second = (await get(path(`?limit=2&after=${first.next_cursor}`))).body;
    expect([...first.data, ...second.data].map(({ domain }) => domain)).toEqual(['a.example', 'b.example', 'c.example']);
    expect(second.next_cursor).toBeNull();
    expect((await get(`/v1/connections/${connection}`)).body.version).toBe(4);
  });
});

describe('linking by e-mail', () => {
  it('R13 R33 is switched on by the instance only; a workspace keeps its other settings', async () => {
    const at = `/v1/connections/${connection}`;
    const refused = await patch(at, { linking: 'verified-email' }, api.keys.acme);
    expect([refused.status, refused.body.reason]).toEqual([403, 'instance_scope_required']);
    expect((await patch(at, { linking: 'verified-email' })).body.linking).toBe('verified-email');
    expect((await patch(at, { display_name: 'Okta 2' }, api.keys.acme)).body).toMatchObject({ linking: 'verified-email' });
    expect((await patch(at, { linking: 'none' }, api.keys.acme)).body.linking).toBe('none');
    const made = { display_name: 'Sly', protocol: samlProtocol, linking: 'verified-email' };
    expect((await post('/v1/connections', made, api.keys.acme)).status).toBe(403);
  });

  it('R13 R33 people are linked by hand with keys of instance scope only', async () => {
    const user = '/v1/users/01890000-0000-7000-8000-000000000001/identities';
    const answers = await Promise.all([
      get(user, api.keys.acme),
      post(user, { connection_id: connection, subject: 'x' }, api.keys.acme),
      post(`${user}/rebind`, { connection_id: connection, subject: 'x' }, api.keys.acme),
      remove(`${user}?connection_id=${connection}&subject=x`, api.keys.acme),
      get('/v1/licence', api.keys.acme),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403]);
  });
});
