import { BrokerError } from '../domain/broker-error.ts';
import { headersProblem } from './endpoint-headers.ts';

export interface SealedSecret {
  readonly sealed: string;
  /** ISO 8601; null: until it is replaced. */
  readonly expires_at: string | null;
}

/** What endpoints need of `infra/sealed-box`. */
export interface SecretBox {
  seal(plain: string, context: string): string;
  open(sealed: string, context: string): string;
}

/** How long a replaced secret signs beside the new one, unless a rotation says otherwise. */
export const secretOverlapSeconds = 24 * 60 * 60;

/** Secrets that one endpoint has at a time: each makes the header of every delivery longer. */
export const maxSecrets = 5;

/** Binds a sealed secret to its endpoint: copied to another row it does not open. */
export function secretContext(endpointId: string): string {
  return `endpoint/${endpointId}/secret`;
}

export function headerContext(endpointId: string, name: string): string {
  return `endpoint/${endpointId}/header/${name}`;
}

export function isInForce({ expires_at }: SealedSecret, now: Date): boolean {
  return expires_at === null || new Date(expires_at) > now;
}

export function sealSecret(sealedBox: Pick<SecretBox, 'seal'>, endpointId: string, secret: string): SealedSecret {
  return { sealed: sealedBox.seal(secret, secretContext(endpointId)), expires_at: null };
}

/**
 * Puts a secret in front of those in force, which end after `overlapSeconds`, or sooner where that was settled before. What does not
 * open signs nothing, and is dropped. A secret that is in front already stays there.
 */
export function rotated(
  { endpointId, secrets }: { readonly endpointId: string; readonly secrets: readonly SealedSecret[] },
  secret: string,
  { sealedBox, overlapSeconds, now }: { readonly sealedBox: SecretBox; readonly overlapSeconds: number; readonly now: Date },
): readonly SealedSecret[] {
  const until = new Date(now.getTime() + overlapSeconds * 1_000);
  const others = secrets
    .filter((each) => isInForce(each, now))
    .map((each) => ({ ...each, plain: opened(sealedBox, each.sealed, secretContext(endpointId)) }))
    .filter(({ plain }) => plain !== null && plain !== secret)
    .map(({ sealed, expires_at }) => ({ sealed, expires_at: earlier(expires_at, until) }))
    .filter((each) => isInForce(each, now));
  return [sealSecret(sealedBox, endpointId, secret), ...others].slice(0, maxSecrets);
}

/** Whether the secret is the one that signs first. */
export function isNewest(
  { endpointId, secrets }: { readonly endpointId: string; readonly secrets: readonly SealedSecret[] },
  secret: string,
  { sealedBox, now }: { readonly sealedBox: Pick<SecretBox, 'open'>; readonly now: Date },
): boolean {
  const newest = secrets.find((each) => isInForce(each, now));
  return newest !== undefined && opened(sealedBox, newest.sealed, secretContext(endpointId)) === secret;
}

function earlier(expiresAt: string | null, until: Date): string {
  return expiresAt !== null && new Date(expiresAt) < until ? expiresAt : until.toISOString();
}

/** Null: sealed under a key that is not configured any more. */
function opened(sealedBox: Pick<SecretBox, 'open'>, sealed: string, context: string): string | null {
  try {
    return sealedBox.open(sealed, context);
  } catch {
    return null;
  }
}

/**
 * Header values as they are stored: each sealed, bound to its endpoint and its name. One that is stored with the same value stays as it
 * is, so that nothing seems changed.
 * @param changes null takes a header away; the stored ones that are not named stay if `keepOthers`
 * @throws BrokerError `validation_failed` when they would be too many
 */
export function sealedHeaders(
  { endpointId, headers: stored }: { readonly endpointId: string; readonly headers: Readonly<Record<string, string>> },
  changes: Readonly<Record<string, string | null>>,
  { sealedBox, keepOthers }: { readonly sealedBox: SecretBox; readonly keepOthers: boolean },
): Record<string, string> {
  const sealed = new Map(keepOthers ? Object.entries(stored) : []);
  for (const [name, value] of Object.entries(changes)) {
    const context = headerContext(endpointId, name);
    const present = stored[name];
    if (value === null) sealed.delete(name);
    else if (present !== undefined && opened(sealedBox, present, context) === value) sealed.set(name, present);
    else sealed.set(name, sealedBox.seal(value, context));
  }
  const plain = [...sealed].map(([name, text]) => [name, opened(sealedBox, text, headerContext(endpointId, name)) ?? '']);
  const problem = headersProblem(Object.fromEntries(plain));
  if (problem === null) return Object.fromEntries(sealed);
  throw new BrokerError('validation_failed', problem, { fields: [{ path: 'headers', message: problem }] });
}
