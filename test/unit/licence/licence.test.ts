import { describe, expect, it } from 'vitest';
import { type Licence, type LicenceState, licenceRefusal, licenceStatus, seatLimit } from '../../../src/domain/licence.ts';

const now = new Date('2030-06-01T00:00:00Z');
const present = (changes: Partial<Licence> = {}): LicenceState => ({
  kind: 'present',
  source: 'api',
  licence: {
    licenceId: null,
    holder: null,
    expiresAt: new Date('2031-01-01T00:00:00Z'),
    features: ['sso', 'group_sync'],
    maxUsers: 10,
    ...changes,
  },
});

describe('a licence', () => {
  it.each<[string, LicenceState, string | null]>([
    ['no keys are configured', { kind: 'not_required' }, null],
    ['it has both features and time left', present(), null],
    ['it has features that nobody knows yet', present({ features: ['sso', 'group_sync', 'scim'] }), null],
    ['it ends a moment later', present({ expiresAt: new Date(now.getTime() + 1) }), null],
    ['it ends now', present({ expiresAt: now }), 'licence_expired'],
    ['it lacks sso', present({ features: ['group_sync'] }), 'licence_feature_missing'],
    ['it lacks group_sync', present({ features: ['sso'] }), 'licence_feature_missing'],
    ['there is none', { kind: 'missing' }, 'licence_missing'],
    ['it is none', { kind: 'invalid', source: 'file', problem: 'x' }, 'licence_invalid'],
  ])('R35 allows or refuses logins when %s', (_what, state, reason) => {
    const refusal = licenceRefusal(state, now);
    expect(refusal?.reason ?? null).toBe(reason);
    expect(refusal?.code ?? 'licence_expired').toBe('licence_expired');
    expect(refusal?.face.oauth ?? 'access_denied').toBe('access_denied');
  });

  it('R35 that is past its end and lacks a feature is past its end', () => {
    expect(licenceStatus(present({ expiresAt: now, features: [] }), now)).toBe('expired');
  });

  it('R36 limits users only where it says so', () => {
    expect([present(), present({ maxUsers: null }), { kind: 'not_required' } as const].map(seatLimit)).toEqual([10, null, null]);
  });
});
