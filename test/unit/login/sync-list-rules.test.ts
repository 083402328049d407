import { describe, expect, it } from 'vitest';
import { checkNotLast, chooseSuccessor, type ListedWorkspace } from '../../../src/login/sync-list-rules.ts';

function listed(workspaceId: string, overrides: Partial<ListedWorkspace> = {}): ListedWorkspace {
  return { workspaceId, workspaceSlug: `slug-of-${workspaceId}`, isDefault: false, enabled: true, inherits: true, ...overrides };
}

const main = listed('main', { isDefault: true });

describe('the last workspace of a sync list', () => {
  it('R11 stays: alone, or with others that are switched off', () => {
    const refused = { code: 'conflict', reason: 'last_enabled_workspace', fields: [{ path: 'enabled' }] };
    expect(() => checkNotLast([main], 'main', 'enabled')).toThrow(expect.objectContaining({ reason: refused.reason }));
    expect(() => checkNotLast([main, listed('off', { enabled: false })], 'main', 'enabled')).toThrow(/stays enabled/);
    expect(() => checkNotLast([main, listed('on')], 'main', 'enabled')).not.toThrow();
  });

  it('R11 one that is switched off may go', () => {
    expect(() => checkNotLast([main, listed('off', { enabled: false })], 'off', 'enabled')).not.toThrow();
  });
});

describe('the successor of the default workspace', () => {
  it('R7 is needed for the default one only', () => {
    expect(chooseSuccessor([main, listed('other')], 'other', undefined)).toBeNull();
    expect(() => chooseSuccessor([main, listed('other')], 'main', undefined)).toThrow(/name another one/);
  });

  it('R7 is named by id or slug', () => {
    const list = [main, listed('other')];
    expect(chooseSuccessor(list, 'main', 'other')).toBe('other');
    expect(chooseSuccessor(list, 'main', 'slug-of-other')).toBe('other');
  });

  it.each([
    ['is not listed', 'stranger', 'successor_not_listed'],
    ['is the one that leaves', 'main', 'successor_not_listed'],
    ['is switched off', 'off', 'successor_disabled'],
    ['overrides the configuration', 'own', 'successor_overrides'],
  ])('R7 is refused when it %s', (_what, successor, reason) => {
    const list = [main, listed('off', { enabled: false }), listed('own', { inherits: false }), listed('fine')];
    expect(() => chooseSuccessor(list, 'main', successor)).toThrow(expect.objectContaining({ reason }));
    expect(chooseSuccessor(list, 'main', 'fine')).toBe('fine');
  });
});
