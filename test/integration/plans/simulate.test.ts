import { beforeEach, describe, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';
import { accessIn, loginsOn } from '../../support/plan-world.ts';

const api = useApi();
let connectionId = '';
let ann = '';

beforeEach(async () => {
  await api.put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'engineers', requires_role: 'builder' }] });
  const made = await api.post('/v1/connections', {
    display_name: 'Okta',
    protocol: samlProtocol,
    group_sync: { enabled: true, mapping: 'Eng -> engineers, Boss -> admin' },
    sync_list: [
      { workspace: 'acme', is_default: true },
      { workspace: 'globex', mapping: 'Eng -> builder' },
    ],
  });
  connectionId = made.body.connection_id;
  ann = (await loginsOn(api.database.db)(connectionId, 'ann', ['Eng'])).userId;
});

const simulate = (body: object, key?: string) => api.post('/v1/simulations', { connection_id: connectionId, ...body }, key);

describe('R38 a simulation', () => {
  it('R38 tells what given groups would get in each workspace, with reasons', async () => {
    const { status, body } = await simulate({ groups: ['Boss', 'Eng', 'eng'] });
    expect(status).toBe(200);
    expect(body.data).toMatchObject([
      {
        workspace: { slug: 'acme' },
        decision: 'grant',
        because: 'mapping',
        claim: 'groups',
        role: 'admin',
        groups: [{ name: 'engineers' }],
        current: null,
      },
      { workspace: { slug: 'globex' }, role: 'builder', groups: [] },
    ]);
    expect(body.data[0].reasons).toMatchObject([
      { grant: { kind: 'role', role: 'admin' }, idp_group: 'Boss', via: { kind: 'rule', rule_index: 1 } },
      { grant: { kind: 'group', name: 'engineers' }, idp_group: 'Eng', via: { kind: 'rule', rule_index: 0 } },
    ]);
    expect(body.data[0].warnings).toContainEqual({ kind: 'near-miss', idp_group: 'eng', name: 'Eng', difference: 'case' });
  });

  it("R38 goes by a user's last groups, beside what the user has, and writes nothing", async () => {
    await api.patch(`/v1/connections/${connectionId}`, { group_sync: { mapping: { rules: [{ from: 'Eng', to: 'admin' }] } } });
    const before = await accessIn(api.database.db, api.acme);
    const { body } = await simulate({ user_id: ann, workspace_id: api.acme });
    expect(body.data).toMatchObject([
      { idp_groups: ['Eng'], role: 'admin', groups: [], current: { role: 'builder', groups: [{ name: 'engineers' }] } },
    ]);
    expect(await accessIn(api.database.db, api.acme)).toEqual(before);
  });

  it('R25 R38 follows the policies for groups that are not known or match nothing', async () => {
    expect((await simulate({ groups: null, workspace_id: api.acme })).body.data).toMatchObject([
      { decision: 'grant', because: 'groups_unknown', role: 'end-user', idp_groups: null },
    ]);
    await api.patch(`/v1/connections/${connectionId}`, { group_sync: { no_match: 'deny', unknown_groups: 'deny' } });
    expect((await simulate({ groups: null, workspace_id: api.acme })).body.data).toMatchObject([
      { decision: 'deny', role: null },
    ]);
    expect((await simulate({ groups: ['x'], workspace_id: api.acme })).body.data).toMatchObject([
      { decision: 'deny', because: 'no_matching_group' },
    ]);
  });

  it('R13 R38 shows a workspace key its own workspace only, and refuses what is not served', async () => {
    const own = await simulate({ groups: ['Eng'] }, api.keys.globex);
    expect(own.body.data).toMatchObject([{ workspace: { slug: 'globex' } }]);
    expect((await simulate({ groups: ['Eng'], workspace_id: api.acme }, api.keys.globex)).status).toBe(404);
    expect((await simulate({ groups: ['Eng'], workspace_id: api.acme }, api.keys.acme)).status).toBe(200);
    expect((await simulate({ groups: ['Eng'] }, api.keys.readOnly)).status).toBe(200);
  });

  it('R38 refuses both or neither of groups and user, an unknown user and unknown fields', async () => {
    expect((await simulate({})).body.errors).toMatchObject([{ path: 'groups' }]);
    expect((await simulate({ groups: [], user_id: ann })).status).toBe(422);
    expect((await simulate({ groups: [], colour: 'red' })).body.errors).toMatchObject([{ path: 'colour' }]);
    expect((await simulate({ user_id: api.acme })).status).toBe(404);
    expect((await simulate({ groups: [] })).status).toBe(200);
  });
});

describe('R37 explain with a group asked about', () => {
  const whyNot = async (group: string, user = ann) => {
    const answer = await api.get(`/v1/workspaces/${api.acme}/members/${user}/explain?group=${encodeURIComponent(group)}`);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return answer.body.why_not as { held: boolean; kind: string; causes: { cause: string; message: string }[] };
  };
  const causes = async (group: string, user = ann) => (await whyNot(group, user)).causes.map(({ cause }) => cause);

  it('R37 says that it is held, and gives no cause then', async () => {
    expect(await whyNot('engineers')).toEqual({ asked: 'engineers', kind: 'group', held: true, causes: [] });
    expect((await api.get(`/v1/workspaces/${api.acme}/members/${ann}/explain`)).body.why_not).toBeUndefined();
  });

  it('R37 says which IdP group a rule waits for, and what is in no catalogue', async () => {
    expect(await whyNot('admin')).toMatchObject({
      kind: 'role',
      causes: [
        { cause: 'idp_group_not_sent', idp_group: 'Boss', rule_index: 1 },
        { cause: 'idp_group_not_sent', idp_group: 'admin' },
      ],
    });
    expect(await causes('Engineers')).toEqual(['not_in_catalogue', 'near_miss', 'no_rule', 'idp_group_not_sent']);
  });

  it('R25 R37 says that the newest login did not tell the groups', async () => {
    await loginsOn(api.database.db)(connectionId, 'ann', null);
    expect(await causes('admin')).toContain('held');
    const newcomer = await loginsOn(api.database.db)(connectionId, 'zoe', null);
    expect(await causes('admin', newcomer.userId)).toContain('groups_unknown');
  });

  it('R37 says that a change waits for its next sync, and that sync is off', async () => {
    await api.patch(`/v1/connections/${connectionId}`, { group_sync: { mapping: { rules: [{ from: 'Eng', to: 'admin' }] } } });
    expect(await causes('admin')).toContain('not_synced_since');
    await api.patch(`/v1/connections/${connectionId}`, { group_sync: { enabled: false } });
    expect(await causes('admin')).toContain('group_sync_off');
  });

  it('R37 refuses an empty name and a stranger, and answers for a member', async () => {
    const path = (user: string, group: string) => `/v1/workspaces/${api.acme}/members/${user}/explain?group=${group}`;
    expect((await api.get(path(ann, ''))).status).toBe(422);
    expect((await api.get(path(api.acme, 'admin'))).status).toBe(404);
    expect((await api.get(path(ann, 'admin'), api.keys.globex)).status).toBe(404);
    expect((await api.get(path(ann, 'admin'), api.keys.acme)).status).toBe(200);
  });
});
