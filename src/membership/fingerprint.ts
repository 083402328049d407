import { createHash } from 'node:crypto';
import type { Profile } from '../domain/federated-identity.ts';
import type { WorkspaceSync } from './decision.ts';

/**
 * Equal fingerprints mean that a login decides what the last one decided, so that nothing has to be written. They cover inputs of the
 * decision, not its result: a membership changed by other means clears its fingerprint.
 */
export function syncFingerprint({ settings, groups, entitlements }: WorkspaceSync): string {
  return fingerprint([settings.enabled, settings.noMatch, settings.mode, groups.state, entitlements]);
}

export function profileFingerprint(profile: Profile): string {
  return fingerprint([profile.email, profile.emailVerified, profile.name, profile.givenName, profile.familyName]);
}

/** @param groups claim name to the names as last seen; null when this answer says nothing about them */
export function groupsFingerprint(groups: Readonly<Record<string, readonly string[]>> | null): string | null {
  return groups && fingerprint(Object.entries(groups));
}

function fingerprint(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
