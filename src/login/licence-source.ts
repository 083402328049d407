import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { BrokerError } from '../domain/broker-error.ts';
import { type Licence, type LicenceSource, type LicenceState, licenceStatus } from '../domain/licence.ts';
import type { LicenceData } from '../domain/webhook-event.ts';

/** Where the settings say that a licence is; at most one of them. */
export interface ConfiguredLicence {
  readonly token: string | null;
  readonly file: string | null;
}

/** A licence's text and where it came from; null: there is none. */
export type FoundLicence =
  | { readonly source: LicenceSource; readonly token: string }
  | { readonly source: 'file'; readonly unreadable: string }
  | null;

/** The API's licence wins over the settings' one (R34). */
export async function findLicence(stored: string | null, { token, file }: ConfiguredLicence): Promise<FoundLicence> {
  if (stored !== null) return { source: 'api', token: stored };
  if (token !== null) return { source: 'environment', token };
  if (file === null) return null;
  try {
    return { source: 'file', token: (await readFile(file, 'utf8')).trim() };
  } catch (error) {
    return { source: 'file', unreadable: (error as NodeJS.ErrnoException).code ?? 'unknown error' };
  }
}

export async function stateOf(found: FoundLicence, read: (token: string) => Promise<Licence>): Promise<LicenceState> {
  if (!found) return { kind: 'missing' };
  const { source } = found;
  if ('unreadable' in found) return { kind: 'invalid', source, problem: `the file cannot be read (${found.unreadable})` };
  try {
    return { kind: 'present', source, licence: await read(found.token) };
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    return { kind: 'invalid', source, problem: error.message };
  }
}

/** Tells one licence from another, wherever it stands; null: there is none. */
export function digestOf(found: FoundLicence): string | null {
  if (!found) return null;
  const text = 'token' in found ? found.token : `unreadable ${found.unreadable}`;
  return createHash('sha256').update(text).digest('base64url');
}

/** As events and the API show it. */
export function licenceView(state: LicenceState, now: Date): LicenceData['licence'] {
  const licence = state.kind === 'present' ? state.licence : null;
  return {
    status: licenceStatus(state, now),
    source: 'source' in state ? state.source : null,
    id: licence?.licenceId ?? null,
    holder: licence?.holder ?? null,
    expires_at: licence?.expiresAt.toISOString() ?? null,
    features: licence?.features ?? [],
    max_users: licence?.maxUsers ?? null,
  };
}
