import { describe, expect, test } from 'vitest';
import { readClaims } from '../../../src/demo/app-claims.ts';

const at = new Date('2026-05-01T10:00:00Z');
const membership = {
  workspace_id: 'w1',
  workspace: 'tidewater',
  role: 'builder',
  groups: ['engineering'],
  membership_version: 3,
};

describe('readClaims', () => {
  test('R29 takes person, role, groups and version of each workspace from the ID token', () => {
    expect(readClaims({ sub: 'u1', name: 'Ada', email: 'ada@tidewater.example', memberships: [membership] }, at)).toEqual({
      userId: 'u1',
      name: 'Ada',
      email: 'ada@tidewater.example',
      memberships: [{ workspaceId: 'w1', workspace: 'tidewater', role: 'builder', groups: ['engineering'], version: 3 }],
      at,
    });
  });

  test('signs a person without memberships in, with none', () => {
    for (const memberships of [undefined, null, 'x', {}])
      expect(readClaims({ sub: 'u1', memberships }, at).memberships).toEqual([]);
  });

  test('leaves out a membership in another shape and keeps the others', () => {
    const { memberships } = readClaims({ sub: 'u1', memberships: [{ ...membership, role: 1 }, membership, null] }, at);
    expect(memberships).toHaveLength(1);
  });

  test('refuses claims without a subject', () => {
    expect(() => readClaims({ name: 'Ada' }, at)).toThrow();
  });
});
