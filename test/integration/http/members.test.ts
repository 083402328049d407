import { describe, expect, it } from 'vitest';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import { useApi } from '../../support/api-world.ts';

const api = useApi();
const { get, put } = api;
const now = () => new Date();

describe('members', () => {
  async function aMember(workspaceId: string, name: string) {
    const userId = uniqueId(now());
    const [group] = (await put(`/v1/workspaces/${workspaceId}/app-groups`, { groups: [{ name: 'engineers' }] })).body.data;
    await api.database.db('users').insert({ user_id: userId, email: `${name}@example.com`, name });
    const reasons = [
      {
        grant: { kind: 'group', groupId: group.group_id, name: 'engineers' },
        idpGroup: 'eng',
        via: { kind: 'rule', ruleIndex: 0, from: 'eng', match: 'exact', to: 'engineers' },
      },
      {
        grant: { kind: 'role', role: 'builder' },
        idpGroup: 'eng',
        via: { kind: 'group-requires', groupId: group.group_id, name: 'engineers', requiresRole: 'builder' },
      },
    ];
    await api.database.db('memberships').insert({
      workspace_id: workspaceId,
      user_id: userId,
      role: 'builder',
      group_ids: [group.group_id],
      version: 3,
      reasons: JSON.stringify(reasons),
      warnings: JSON.stringify([{ kind: 'target-missing', idpGroup: 'old', target: 'gone', ruleIndex: 2 }]),
    });
    return { userId, groupId: group.group_id as string };
  }

  it('R37 say what they have and why', async () => {
    const { userId, groupId } = await aMember(api.acme, 'ann');
    const path = `/v1/workspaces/${api.acme}/members/${userId}`;
    const member = (await get(path)).body;
    expect(member).toMatchObject({
      user: { id: userId, email: 'ann@example.com', name: 'ann', status: 'active' },
      role: 'builder',
      groups: [{ id: groupId, name: 'engineers' }],
      status: 'active',
      version: 3,
    });
    const explained = (await get(`${path}/explain`)).body;
    expect(explained).toMatchObject({
      ...member,
      reasons: [
        {
          grant: { kind: 'group', id: groupId, name: 'engineers' },
          idp_group: 'eng',
          via: { kind: 'rule', rule_index: 0, from: 'eng', match: 'exact', to: 'engineers' },
        },
        {
          grant: { kind: 'role', role: 'builder' },
          idp_group: 'eng',
          via: { kind: 'group-requires', group: { id: groupId, name: 'engineers' }, requires_role: 'builder' },
        },
      ],
      warnings: [{ kind: 'target-missing', idp_group: 'old', target: 'gone', rule_index: 2 }],
      login: { login_id: null, connection_id: null, connection: null },
    });
    expect((await get(`/v1/workspaces/${api.acme}/members`)).body).toEqual({ data: [member], next_cursor: null });
  });

  it('R13 of another workspace are not there', async () => {
    const { userId } = await aMember(api.acme, 'bob');
    for (const path of ['', `/${userId}`, `/${userId}/explain`]) {
      expect((await get(`/v1/workspaces/${api.acme}/members${path}`, api.keys.globex)).status).toBe(404);
      expect((await get(`/v1/workspaces/${api.acme}/members${path}`, api.keys.acme)).status).toBe(200);
    }
    expect((await get(`/v1/workspaces/${api.globex}/members/${userId}`)).status).toBe(404);
    expect((await get(`/v1/workspaces/${api.acme}/members/x`)).status).toBe(404);
  });
});
