import { describe, expect, it } from 'vitest';
import { createOperationFinder } from '../../../src/http/api-schema.ts';
import { errorCodesOf, problemSchema } from '../../../src/http/openapi.ts';
import { apiOperations } from '../../../src/http/openapi-operations.ts';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { apiOn } from '../../support/api-stores.ts';
import { useApi } from '../../support/api-world.ts';
import { connectionWorld, oidcProtocol, samlProtocol } from '../../support/connection-world.ts';
import { aServer } from '../../support/http-server.ts';
import { createLicenceSigner } from '../../support/licence-tokens.ts';
import { untilEventsReadable } from '../../support/readable-events.ts';

const api = useApi();
const find = createOperationFinder(apiOperations);
const now = () => new Date();

type Answer = Awaited<ReturnType<typeof api.get>>;

/** Holds what the API answers against what its description says, and remembers which operations were seen to succeed. */
function observer() {
  const succeeded = new Set<string>();

  async function seen(method: 'get' | 'post' | 'put' | 'patch' | 'delete', path: string, body?: object): Promise<Answer> {
    const call = { get: api.get, post: api.post, put: api.put, patch: api.patch, delete: api.remove }[method];
    const answer = await call(path, body as never);
    const operation = find(method, (path.split('?', 1)[0] as string).replace('/v1', ''))?.operation;
    const name = `${method} ${path}: ${answer.status} ${answer.text.slice(0, 300)}`;
    if (!operation) throw new Error(`not described: ${name}`);
    if (answer.status >= 400) {
      expect(problemSchema.safeParse(answer.body).error, name).toBeUndefined();
      expect(errorCodesOf(operation), name).toContain(answer.body.code);
      return answer;
    }
    const schema = operation.answers[answer.status];
    expect(schema, name).not.toBeUndefined();
    if (schema === null) expect(answer.text, name).toBe('');
    else if (operation.mediaType === undefined) expect(schema?.safeParse(answer.body).error, name).toBeUndefined();
    if (operation.etag && method === 'get') expect(answer.headers.etag, name).toMatch(/^"/);
    succeeded.add(`${operation.method} ${operation.path}`);
    return answer;
  }
  return { seen, succeeded };
}

/** A person with a login behind them, in one workspace. */
async function aMember(workspaceId: string, connectionId: string, groupId: string): Promise<string> {
  const { db } = api.database;
  const userId = uniqueId(now());
  await db('users').insert({ user_id: userId, email: 'ann@example.com', name: 'Ann' });
  await db('identities').insert({
    connection_id: connectionId,
    subject: 'ann',
    issuer: 'https://idp.example.com',
    user_id: userId,
    last_groups: JSON.stringify({ groups: ['eng'] }),
    last_groups_at: now(),
  });
  const reasons = [
    { grant: { kind: 'role', role: 'admin' }, idpGroup: 'admin', via: { kind: 'one-to-one' } },
    { grant: { kind: 'role', role: 'end-user' }, idpGroup: null, via: { kind: 'fallback' } },
    { grant: { kind: 'role', role: 'admin' }, idpGroup: null, via: { kind: 'kept', because: 'last-admin' } },
    {
      grant: { kind: 'group', groupId, name: 'engineers' },
      idpGroup: 'eng',
      via: { kind: 'rule', ruleIndex: 0, from: 'eng', match: 'exact', to: 'engineers' },
    },
    {
      grant: { kind: 'role', role: 'builder' },
      idpGroup: 'eng',
      via: { kind: 'group-requires', groupId, name: 'engineers', requiresRole: 'builder' },
    },
  ];
  const warnings = [
    { kind: 'near-miss', idpGroup: 'Eng', name: 'eng', difference: 'case' },
    { kind: 'target-missing', idpGroup: 'old', target: 'gone', ruleIndex: 2 },
    { kind: 'duplicate-group', idpGroup: 'eng', times: 2 },
    { kind: 'unmatched', idpGroup: 'x' },
  ];
  await db('memberships').insert({
    workspace_id: workspaceId,
    user_id: userId,
    role: 'builder',
    group_ids: [groupId],
    connection_id: connectionId,
    reasons: JSON.stringify(reasons),
    warnings: JSON.stringify(warnings),
  });
  return userId;
}

/** Of the first event there is, as if it had been delivered. */
async function anAttempt(endpointId: string): Promise<void> {
  await untilEventsReadable(api.database.db);
  await api.database.db.raw(
    `INSERT INTO delivery_attempts (endpoint_id, order_key, position, event_id, attempt, outcome, status, duration_milliseconds, answer)
     SELECT ?, order_key, position, event_id, 1, 'delivered', 200, 7, 'ok' FROM event_log ORDER BY sequence LIMIT 1`,
    [endpointId],
  );
}

describe('every answer of the API', () => {
  it('is what its description says, in one walk over all operations', { timeout: 60_000 }, async () => {
    const vendor = createLicenceSigner();
    const { db } = api.database;
    const records: string[] = [];
    const options = { licencePublicKeys: [vendor.publicKey], resolveTxt: async () => records };
    api.serve(aServer({ api: apiOn(db, connectionWorld(db), options) }));
    const { seen, succeeded } = observer();
    const workspace = `/v1/workspaces/${api.acme}`;
    await seen('get', '/v1/workspaces?limit=1');
    const spare = (await seen('post', '/v1/workspaces', { slug: 'spare' })).headers.location as string;
    await seen('get', workspace);
    await seen('patch', spare, { display_name: 'Spare' });
    await seen('post', '/v1/workspaces', { slug: 'spare' });
    await seen('post', '/v1/workspaces', { slug: 'Spare' });

    const groups = (
      await seen('put', `${workspace}/app-groups`, { groups: [{ name: 'engineers', requires_role: 'builder' }, { name: 'b' }] })
    ).body.data;
    await seen('get', `${workspace}/app-groups`);
    await seen('get', `${workspace}/app-groups/${groups[0].group_id}`);
    await seen('patch', `${workspace}/app-groups/${groups[1].group_id}?apply=now`, { name: 'c', requires_role: 'builder' });
    await seen('delete', `${workspace}/app-groups/${groups[1].group_id}`);

    const group_sync = { enabled: true, mapping: 'eng -> engineers' };
    const saml = (
      await seen('post', '/v1/connections', { display_name: 'Okta', protocol: samlProtocol, workspace: 'acme', group_sync })
    ).body;
    const metadata_url = 'https://idp.example.com/metadata';
    await seen('post', '/v1/connections', { display_name: 'By URL', protocol: { type: 'saml', metadata_url } });
    const sync_list = [
      { workspace: 'acme', is_default: true },
      { workspace: 'globex', claim_name: 'g', mapping: 'a -> b' },
    ];
    const oidc = (
      await seen('post', '/v1/connections', {
        display_name: 'Entra',
        protocol: oidcProtocol,
        sync_list,
        group_sync: { enabled: true },
      })
    ).body;
    await seen('get', '/v1/connections');
    await seen('get', `/v1/connections/${saml.connection_id}`);
    await seen('patch', `/v1/connections/${oidc.connection_id}`, { display_name: 'Entra ID' });

    const listed = `/v1/connections/${oidc.connection_id}/workspaces`;
    await seen('get', listed);
    await seen('post', listed, { workspace: 'spare' });
    await seen('get', `${listed}/${api.globex}`);
    await seen('patch', `${listed}/${api.globex}`, { enabled: false });
    await seen('post', `${listed}/${api.globex}/reset`, {});

    const domains = `/v1/connections/${saml.connection_id}/domains`;
    const { body: domain } = await seen('post', domains, { domain: 'example.com', status: 'pending' });
    records.push(domain.txt_record.value);
    await seen('get', domains);
    await seen('get', `${domains}/example.com`);
    await seen('post', `${domains}/proved.example/verify`, {});
    await seen('post', `${domains}/example.com/verify`, {});
    await seen('delete', `${domains}/example.com`);

    const userId = await aMember(api.acme, saml.connection_id, groups[0].group_id);
    const member = `${workspace}/members/${userId}`;
    await seen('get', `${workspace}/members`);
    await seen('get', `${workspace}/snapshot`);
    await seen('get', `${workspace}/digest`);
    await seen('get', member);
    await seen('get', `${member}/explain`);
    await seen('get', `${member}/explain?group=c`);
    await seen('put', member, { role: 'builder', groups: [] });
    await seen('put', member, { role: 'emperor', groups: [] });

    await seen('get', '/v1/users?email=ann');
    await seen('get', `/v1/users/${userId}`);
    const identities = `/v1/users/${userId}/identities`;
    await seen('get', identities);
    await seen('post', identities, { connection_id: oidc.connection_id, subject: 'ann', issuer: 'https://idp.example.com' });
    await seen('post', `${identities}/rebind`, {
      connection_id: oidc.connection_id,
      subject: 'ann-2',
      issuer: 'https://idp.example.com',
    });
    await seen('delete', `${identities}?connection_id=${oidc.connection_id}&subject=ann-2`);
    await seen('post', `/v1/users/${userId}/archive`, {});
    await seen('post', `/v1/users/${userId}/restore`, {});

    await seen('post', '/v1/simulations', { connection_id: saml.connection_id, groups: ['eng', 'Eng'] });
    await seen('post', '/v1/simulations', { connection_id: saml.connection_id, groups: null });
    const change = { kind: 'connection', connection_id: saml.connection_id, group_sync: { mapping: 'eng -> b' } };
    const plan = (await seen('post', '/v1/plans', { change })).body;
    await seen('get', '/v1/plans');
    await seen('get', `/v1/plans/${plan.plan_id}`);
    await seen('get', `/v1/plans/${plan.plan_id}/members`);
    await seen('post', `/v1/plans/${plan.plan_id}/apply`, { hash: 'x' });
    await seen('post', `/v1/plans/${plan.plan_id}/apply`, { hash: plan.hash, force: true });

    await seen('delete', member);
    await seen('delete', `/v1/users/${userId}`);
    const removal = await seen('delete', `${listed}/${api.globex}`);
    if (removal.status === 409) await seen('delete', `${listed}/${api.globex}?confirm=${removal.body.confirmation.token}`);
    const archival = await seen('delete', spare);
    if (archival.status === 409) await seen('delete', `${spare}?confirm=${archival.body.confirmation.token}`);
    await seen('delete', `/v1/connections/${saml.connection_id}`);

    await seen('get', '/v1/licence');
    await seen('put', '/v1/licence', { token: 'no licence' });
    await seen('put', '/v1/licence', { token: await vendor.sign() });
    await seen('delete', '/v1/licence');

    const endpoint = (await seen('post', '/v1/endpoints', { url: 'https://app.example.com/hooks' })).headers.location as string;
    await seen('get', '/v1/endpoints');
    await seen('get', endpoint);
    await seen('patch', endpoint, { event_types: ['membership.updated'], workspace_ids: [api.acme] });
    await seen('get', `${endpoint}/health`);
    await seen('post', `${endpoint}/secrets`, { overlap_seconds: 60 });
    await seen('post', `${endpoint}/test`, {});
    const snapshot = (await seen('post', `${endpoint}/snapshots`, {})).headers.location as string;
    await seen('post', `${endpoint}/snapshots`, {});
    await seen('get', `${endpoint}/snapshots`);
    await seen('get', snapshot);
    const replay = (await seen('post', `${endpoint}/replays`, { from: now().toISOString() })).headers.location as string;
    await seen('post', `${endpoint}/replays`, {});
    await seen('get', `${endpoint}/replays`);
    await seen('get', replay);
    await anAttempt(endpoint.split('/').at(-1) as string);
    await seen('get', `${endpoint}/deliveries`);
    await seen('get', `${endpoint}/deliveries?status=delivered`);
    await seen('get', `${endpoint}/attempts`);
    await seen('delete', endpoint);

    const client = { name: 'App', redirect_uris: ['https://app.example.com/callback'], client_secret: 's'.repeat(32) };
    await seen('put', '/v1/clients/app', client);
    await seen('put', '/v1/clients/app', client);
    await seen('get', '/v1/clients');
    await seen('get', '/v1/clients/app');
    await seen('get', '/v1/clients/other');

    const key = (await seen('post', '/v1/api-keys', { name: 'x', scope: 'instance' })).headers.location as string;
    await seen('get', '/v1/api-keys');
    await seen('get', key);
    await seen('post', `${key}/rotate`, {});
    await seen('delete', key);
    await seen('post', `${key}/rotate`, {});

    const loginId = uniqueId(now());
    const trace = { login_id: loginId, outcome: 'signed_in', detail: { protocol: 'saml' }, occurred_at: now() };
    await api.database.db('login_traces').insert(trace);
    await seen('get', `/v1/logins/${loginId}`);
    await untilEventsReadable(api.database.db);
    const { data: events } = (await seen('get', '/v1/events?limit=200')).body;
    expect(events.length).toBeGreaterThan(3);
    await seen('get', `/v1/events/${events[0].id}`);
    await seen('get', `/v1/events/${events[0].id}/attempts`);
    await seen('get', '/v1/events/evt_x');
    await api.database.db.raw('DELETE FROM event_log WHERE sequence = (SELECT min(sequence) FROM event_log)');
    await seen('get', '/v1/events?after=0');
    await seen('get', '/v1/audit-log?limit=200');
    await seen('get', '/v1/openapi.json');
    await seen('get', '/v1/docs');
    await seen('get', '/v1/docs/assets/start.js');

    const all = apiOperations.map(({ method, path }) => `${method} ${path}`);
    expect(all.filter((name) => !succeeded.has(name))).toEqual([]);
    expect(api.server.lines.filter(({ level }) => (level as unknown) === 50 || level === 'error')).toEqual([]);
  });
});
