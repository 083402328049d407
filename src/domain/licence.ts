import { BrokerError } from './broker-error.ts';

/** What a licence must allow before anybody signs in or is synced (R35): without one of them both rest. */
export const requiredFeatures = ['sso', 'group_sync'] as const;

/** A licence as its signed token says it (R34). */
export interface Licence {
  readonly licenceId: string | null;
  readonly holder: string | null;
  readonly expiresAt: Date;
  readonly features: readonly string[];
  /** Active users there may be; null: any number. */
  readonly maxUsers: number | null;
}

export type LicenceSource = 'api' | 'environment' | 'file';

/** The licence in force. `not_required`: no keys are configured, and everything is allowed. */
export type LicenceState =
  | { readonly kind: 'not_required' }
  | { readonly kind: 'missing' }
  /** There is one, and it is none: its signature, its form, or its file. */
  | { readonly kind: 'invalid'; readonly source: LicenceSource; readonly problem: string }
  | { readonly kind: 'present'; readonly source: LicenceSource; readonly licence: Licence };

export type LicenceStatus = 'not_required' | 'missing' | 'invalid' | 'expired' | 'feature_missing' | 'valid';

export function licenceStatus(state: LicenceState, now: Date): LicenceStatus {
  if (state.kind !== 'present') return state.kind;
  const { expiresAt, features } = state.licence;
  // RFC 7519 4.1.4: on or after `exp` it is not accepted.
  if (now >= expiresAt) return 'expired';
  return requiredFeatures.every((feature) => features.includes(feature)) ? 'valid' : 'feature_missing';
}

/** R35: why nobody may sign in, as the app is told; null while the licence allows it. */
export function licenceRefusal(state: LicenceState, now: Date): BrokerError | null {
  const status = licenceStatus(state, now);
  if (status === 'valid' || status === 'not_required') return null;
  return new BrokerError('licence_expired', refusalDetails[status], { reason: `licence_${status}` });
}

const refusalDetails = {
  missing: 'licence keys are configured, and there is no licence',
  invalid: 'the licence cannot be read, or no configured key signed it',
  expired: 'the licence is past its end',
  feature_missing: `the licence lacks one of: ${requiredFeatures.join(', ')}`,
} as const satisfies Partial<Record<LicenceStatus, string>>;

/** R36: active users there may be; null: any number. */
export function seatLimit(state: LicenceState): number | null {
  return state.kind === 'present' ? state.licence.maxUsers : null;
}
