import { X509Certificate } from 'node:crypto';
import type { LicenceData } from '../domain/webhook-event.ts';
import type { MigrationState } from '../infra/migrate.ts';
import type { IdpMetadata } from '../saml/metadata.ts';
import { counted, ok, problem, together, type Verdict, warning } from './doctor-findings.ts';

const dayMilliseconds = 86_400_000;
/** How long before its end something is worth a warning. */
const noticeDays = 30;

export function judgeMigrations({ missing, changed, newer }: MigrationState): Verdict {
  if (changed.length > 0) {
    return problem(
      `changed after it had been applied: ${changed.join(', ')}`,
      'Install an unchanged release of the version that serves.',
    );
  }
  if (missing.length > 0) return problem(`not applied: ${missing.join(', ')}`, 'Run rollcall migrate.');
  if (newer.length === 0) return ok('current');
  return warning(`a newer version was here: ${newer.join(', ')}`, 'Upgrade this installation to the version that serves.');
}

const earliest = new Date('2026-01-01T00:00:00Z');
const latest = new Date('2100-01-01T00:00:00Z');

/** A clock that was never set makes every certificate, token and licence wrong. */
export function judgeClock(now: Date): Verdict {
  if (now >= earliest && now < latest) return ok(now.toISOString());
  return problem(`it says ${now.toISOString()}`, 'Set the clock of this machine, and keep it by NTP.');
}

/** @param milliseconds how far the database's clock is ahead of ours */
export function judgeClockDifference(milliseconds: number): Verdict {
  const seconds = Math.abs(milliseconds) / 1_000;
  const detail = `${seconds.toFixed(1)} s ${milliseconds < 0 ? 'behind' : 'ahead of'} this machine's`;
  if (seconds <= 5) return ok(detail);
  const judge = seconds <= 60 ? warning : problem;
  return judge(detail, 'Keep both clocks by NTP: sign-ins depend on ours, deliveries on that of Postgres.');
}

const oldestRedis = [6, 2] as const;

/** @param info what the command INFO answered */
export function judgeRedis(info: string): Verdict {
  const version = /^redis_version:(\S+)/m.exec(info)?.[1] ?? '';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (!/^\d+\.\d+/.test(version)) return warning('it does not tell its version', 'Make sure that it is Redis 6.2 or newer.');
  const recent = major > oldestRedis[0] || (major === oldestRedis[0] && minor >= oldestRedis[1]);
  return recent ? ok(`version ${version}`) : problem(`version ${version} is too old`, 'Upgrade to Redis 6.2 or newer.');
}

export interface OpenedSecrets {
  readonly opened: number;
  /** Whose values do not open, and why. */
  readonly lost: readonly { readonly owner: string; readonly why: string }[];
}

const namedLosses = 5;

export function judgeSealing({ opened, lost }: OpenedSecrets): Verdict {
  const [first] = lost;
  if (first === undefined) return ok(`${counted(opened, 'stored secret')} can be opened`);
  const owners = lost.slice(0, namedLosses).map(({ owner }) => owner);
  const more = lost.length > namedLosses ? [`${lost.length - namedLosses} more`] : [];
  return problem(
    `${lost.length} of ${counted(opened + lost.length, 'stored secret')} cannot be opened: ${[...owners, ...more].join(', ')} (${first.why})`,
    'Put the lost key back behind the others in ROLLCALL_SEALING_KEYS; where it is gone for good, enter these secrets anew.',
  );
}

/** Certificates past their end verify all the same (SAML Metadata Interoperability 2.6): the IdP will still replace them soon. */
export function judgeSamlMetadata(metadata: IdpMetadata, now: Date): Verdict {
  const renew = 'Fetch or paste the current metadata of the identity provider.';
  const fixes = { sso_over_http: 'Have the identity provider offer its sign-in address by https.' } as const;
  const warnings = metadata.warnings.map(({ kind, detail }) => warning(detail, kind === 'sso_over_http' ? fixes[kind] : renew));
  const ends = metadata.signingCertificates.map((base64) => new X509Certificate(Buffer.from(base64, 'base64')).validToDate);
  const ending = ends
    .filter((end) => end >= now && daysUntil(end, now) <= noticeDays)
    .map((end) => warning(`a signing certificate expires at ${end.toISOString()}`, renew));
  const { validUntil } = metadata;
  const closing =
    validUntil !== null && daysUntil(validUntil, now) <= noticeDays
      ? [warning(`the metadata is valid until ${validUntil.toISOString()}, and no sign-in works after that`, renew)]
      : [];
  return together([ok(`SAML metadata with ${counted(ends.length, 'signing certificate')}`), ...warnings, ...ending, ...closing]);
}

export interface EndpointState {
  readonly enabled: boolean;
  readonly disabledReason: 'request' | 'gone' | null;
  readonly waiting: number;
  readonly oldestWaiting: Date | null;
}

const lateMilliseconds = 60 * 60 * 1_000;

export function judgeEndpoint({ enabled, disabledReason, waiting, oldestWaiting }: EndpointState, now: Date): Verdict {
  const queue = `${waiting} waiting ${waiting === 1 ? 'delivery' : 'deliveries'}`;
  if (!enabled && disabledReason === 'gone') {
    return warning(`disabled because the receiver answered 410, ${queue}`, 'Enable it when the receiver is back, or delete it.');
  }
  if (!enabled) return ok(`disabled on request, ${queue}`);
  if (oldestWaiting !== null && now.getTime() - oldestWaiting.getTime() > lateMilliseconds) {
    const fix = 'Look at the receiver, and at last_error of its rows in the table deliveries.';
    return warning(`enabled, ${queue}, the oldest since ${oldestWaiting.toISOString()}`, fix);
  }
  return ok(`enabled, ${queue}`);
}

/** @param users active ones */
export function judgeLicence(licence: LicenceData['licence'], users: number, now: Date): Verdict {
  const { status, expires_at: expiresAt, max_users: maxUsers } = licence;
  const fix = 'Put a valid licence in force: rollcall licence set <file>.';
  switch (status) {
    case 'not_required':
      return ok('none is required');
    case 'missing':
      return problem('licence keys are configured and there is no licence: nobody can sign in', fix);
    case 'invalid':
      return problem('it cannot be read, or no configured key signed it: nobody can sign in', fix);
    case 'expired':
      return problem(`it expired at ${expiresAt}: nobody can sign in`, fix);
    case 'feature_missing':
      return problem('it lacks sso or group_sync: nobody can sign in', fix);
    case 'valid':
      break;
    default:
      return status satisfies never;
  }
  const seats = maxUsers === null ? `${counted(users, 'user')}` : `${users} of ${counted(maxUsers, 'user')}`;
  const renewal = 'Get a new licence in time, and run rollcall licence set <file>.';
  const more = 'Get a licence for more users, or archive users who have left.';
  return together([
    ok(`valid until ${expiresAt}, ${seats}`),
    ...(expiresAt !== null && daysUntil(new Date(expiresAt), now) <= noticeDays
      ? [warning(`it ends at ${expiresAt}`, renewal)]
      : []),
    ...(maxUsers !== null && users >= maxUsers ? [warning(`every seat is taken (${seats}): new people are refused`, more)] : []),
  ]);
}

function daysUntil(end: Date, now: Date): number {
  return (end.getTime() - now.getTime()) / dayMilliseconds;
}
