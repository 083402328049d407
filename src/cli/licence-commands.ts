import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { BrokerError } from '../domain/broker-error.ts';
import { licenceStatus } from '../domain/licence.ts';
import type { LicenceData } from '../domain/webhook-event.ts';
import { createLicenceReader } from '../infra/licence-token.ts';
import { licenceView } from '../login/licence-source.ts';
import type { LicenceStore } from '../login/licence-store.ts';

type Write = (text: string) => void;
type Licences = Pick<LicenceStore, 'refresh' | 'view' | 'set' | 'clear' | 'countUsers'>;

export async function show(licences: Licences, write: Write): Promise<void> {
  await licences.refresh({ announce: false });
  write(table(licences.view(), await licences.countUsers()));
}

/** @throws BrokerError `validation_failed`, `conflict` */
export async function set(licences: Licences, file: string, write: Write): Promise<void> {
  await licences.set(await tokenIn(file));
  write(table(licences.view(), await licences.countUsers()));
}

export async function unset(licences: Licences, write: Write): Promise<void> {
  await licences.clear();
  write(table(licences.view(), await licences.countUsers()));
}

/** @throws BrokerError `validation_failed` for a licence that no key signed or that does not allow anybody to sign in */
export async function verify(
  publicKeys: readonly string[],
  file: string,
  { now, write }: { readonly now: () => Date; readonly write: Write },
): Promise<void> {
  const reader = createLicenceReader({ publicKeys });
  if (!reader.required) {
    throw new BrokerError('validation_failed', 'no licence keys are configured: set ROLLCALL_LICENCE_PUBLIC_KEYS');
  }
  const state = { kind: 'present', source: 'file', licence: await reader.read(await tokenIn(file)) } as const;
  write(table({ ...licenceView(state, now()), source: null }, null));
  const status = licenceStatus(state, now());
  if (status !== 'valid') throw new BrokerError('validation_failed', `with this licence nobody could sign in: ${words[status]}`);
}

async function tokenIn(file: string): Promise<string> {
  if (file === '-') return (await text(process.stdin)).trim();
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new BrokerError('validation_failed', `${file} cannot be read (${code ?? 'unknown error'})`, { cause });
  }
}

const words: Readonly<Record<LicenceData['licence']['status'], string>> = {
  valid: 'valid',
  not_required: 'not required: no licence keys are configured',
  missing: 'there is no licence',
  invalid: 'it cannot be read, or no configured key signed it',
  expired: 'it is past its end',
  feature_missing: 'it lacks sso or group_sync',
};

function table(licence: LicenceData['licence'], activeUsers: number | null): string {
  const rows: (readonly [string, string | null])[] = [
    ['Status', words[licence.status]],
    ['Set by', licence.source],
    ['Id', licence.id],
    ['Holder', licence.holder],
    ['Ends', licence.expires_at],
    ['Features', licence.features.length > 0 ? licence.features.join(', ') : null],
    ['Seats', licence.max_users === null ? (licence.expires_at === null ? null : 'any number') : String(licence.max_users)],
    ['In use', activeUsers === null ? null : String(activeUsers)],
  ];
  return rows.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(9)} ${value}\n`])).join('');
}
