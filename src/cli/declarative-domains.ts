import type { Transaction } from '../infra/postgres.ts';
import { type ConnectionDomain, createDomainStore } from '../login/domains.ts';
import { at, type Change, changeOf } from './declarative-change.ts';
import type { DeclaredConnection } from './declarative-schema.ts';

type DeclaredDomain = NonNullable<DeclaredConnection['email_domains']>[number];

const maxDomains = 10_000;

/**
 * The e-mail domains that a connection may speak for (R33). Whoever applies a file is a super admin: a domain alone is allowed. What
 * was verified by DNS stays verified unless the file says otherwise, and what is allowed is not made pending.
 */
export async function writeDomains(
  tx: Transaction,
  given: {
    readonly connectionId: string;
    readonly declared: Pick<DeclaredConnection, 'display_name' | 'email_domains'>;
    readonly prune: boolean;
    readonly now: () => Date;
  },
): Promise<readonly Change[]> {
  const { connectionId, declared, prune, now } = given;
  const wanted = declared.email_domains;
  if (wanted === undefined) return [];
  const store = createDomainStore({ db: tx, resolveTxt: async () => [], now });
  const before = await store.list(connectionId, { after: null, limit: maxDomains });
  const known = new Map(before.map((domain) => [domain.domain, domain]));
  const moved = wanted.filter((domain) => !isAsWanted(known.get(domain.domain), domain));
  for (const { domain, status = 'allowed' } of moved) {
    const index = wanted.findIndex((each) => each.domain === domain);
    await at(`email_domains.${index}`, () => store.put(connectionId, domain, status));
  }
  const named = new Set(wanted.map(({ domain }) => domain));
  const removed = prune ? before.filter(({ domain }) => !named.has(domain)) : [];
  for (const { domain } of removed) await store.remove(connectionId, domain);

  const added = moved.filter(({ domain }) => !known.has(domain)).length;
  const counted = [
    [added, 'added'],
    [moved.length - added, 'changed'],
    [removed.length, 'removed'],
  ] as const;
  const detail = counted.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []));
  if (detail.length === 0) return [{ subject: subjectOf(declared), action: 'none' }];
  const after = await store.list(connectionId, { after: null, limit: maxDomains });
  const audit = {
    resource: 'domains',
    resourceId: connectionId,
    workspaceId: null,
    before: before.map(shown),
    after: after.map(shown),
  };
  return [changeOf(subjectOf(declared), detail, audit)];
}

function isAsWanted(stored: ConnectionDomain | undefined, { status }: DeclaredDomain): boolean {
  if (stored === undefined) return false;
  if (status === 'pending') return true;
  return stored.status === (status ?? 'allowed') || (status === undefined && stored.status === 'verified');
}

function subjectOf({ display_name: displayName }: Pick<DeclaredConnection, 'display_name'>): string {
  return `e-mail domains of "${displayName}"`;
}

function shown({ domain, status }: ConnectionDomain) {
  return { domain, status };
}
