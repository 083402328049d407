import type { GroupSyncSettings } from '../../src/domain/group-sync.ts';
import type { Entitlements, GroupRef, Reason } from '../../src/domain/membership.ts';
import type { StoredMembership, WorkspaceSync } from '../../src/membership/decision.ts';

export const ladder = ['admin', 'builder', 'end-user'] as const;

export function aSettings(overrides: Partial<GroupSyncSettings> = {}): GroupSyncSettings {
  return {
    enabled: true,
    groupClaim: { name: 'groups', delimiter: null, nameProperty: null, truncationLimit: 100 },
    mapping: { rules: [], oneToOne: true },
    noMatch: 'fallback',
    unknownGroups: 'hold',
    mode: 'authoritative',
    createMissingGroups: false,
    keepLastAdmin: true,
    ...overrides,
  };
}

export const engineers: GroupRef = { groupId: '00000000-0000-7000-8000-000000000001', name: 'engineers' };
export const support: GroupRef = { groupId: '00000000-0000-7000-8000-000000000002', name: 'support' };

export function anEntitlement(overrides: Partial<Entitlements> = {}): Entitlements {
  return { matched: true, role: 'end-user', groups: [], reasons: [], warnings: [], missingTargets: [], ...overrides };
}

export function roleReason(role: string, idpGroup = role): Reason {
  return { grant: { kind: 'role', role }, idpGroup, via: { kind: 'one-to-one' } };
}

export function groupReason(group: GroupRef): Reason {
  return { grant: { kind: 'group', ...group }, idpGroup: group.name, via: { kind: 'one-to-one' } };
}

export function aSync(overrides: Partial<WorkspaceSync> = {}): WorkspaceSync {
  return {
    workspaceId: '00000000-0000-7000-8000-0000000000aa',
    workspaceSlug: 'acme',
    settings: aSettings(),
    groups: { state: 'known', names: [], source: 'saml_attributes' },
    entitlements: anEntitlement(),
    newGroups: [],
    ...overrides,
  };
}

export function aStored(overrides: Partial<StoredMembership> = {}): StoredMembership {
  return {
    workspaceId: '00000000-0000-7000-8000-0000000000aa',
    userId: '00000000-0000-7000-8000-0000000000bb',
    role: 'end-user',
    groups: [],
    status: 'active',
    version: 3,
    reasons: [],
    ...overrides,
  };
}
