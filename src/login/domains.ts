import { BrokerError } from '../domain/broker-error.ts';
import { normalDomain } from '../domain/email-domain.ts';
import type { Database } from '../infra/postgres.ts';
import { randomToken } from '../infra/unique-id.ts';

/** `pending` is not in force. `allowed`: set by a super admin. `verified`: the domain is this connection's own. */
export type DomainStatus = 'pending' | 'allowed' | 'verified';

export interface ConnectionDomain {
  readonly domain: string;
  readonly status: DomainStatus;
  readonly verifiedBy: 'dns' | 'admin' | null;
  readonly verifiedAt: Date | null;
  /** What the TXT record of the domain has to say. */
  readonly record: string;
  readonly createdAt: Date;
}

/** The texts of a domain's TXT records, each with its parts joined; empty: none. Rejects when DNS does not answer. */
export type ResolveTxt = (domain: string) => Promise<readonly string[]>;

export type DomainStore = ReturnType<typeof createDomainStore>;

/** Allowed e-mail domains of connections (R33): who may be signed in, linked, and led there by their address. */
export function createDomainStore(deps: { readonly db: Database; readonly resolveTxt: ResolveTxt; readonly now: () => Date }) {
  const { db, resolveTxt, now } = deps;
  const rowOf = (connectionId: string, domain: string) =>
    db<DomainRow>('connection_domains').where({ connection_id: connectionId, domain });

  async function get(connectionId: string, name: string): Promise<ConnectionDomain> {
    const row = await rowOf(connectionId, normalDomain(name) ?? '').first();
    if (!row) throw new BrokerError('not_found', 'the connection has no such domain');
    return domainOf(row);
  }

  /** Caches compare the connection's version. */
  async function changed(connectionId: string): Promise<void> {
    await db('connections')
      .where({ connection_id: connectionId })
      .update({ version: db.raw('version + 1'), updated_at: now() });
  }

  return {
    get,

    /** In the order of their names, after `after`. */
    async list(connectionId: string, page: { after: string | null; limit: number }): Promise<readonly ConnectionDomain[]> {
      const rows = await db<DomainRow>('connection_domains')
        .where({ connection_id: connectionId })
        .andWhere('domain', '>', page.after ?? '')
        .orderBy('domain')
        .limit(page.limit);
      return rows.map(domainOf);
    },

    /**
     * Adds a domain, or gives a known one another status; `pending` takes nothing from a known one.
     * @param status whether that is the caller's to say is checked where the key is known
     */
    async put(connectionId: string, domain: string, status: DomainStatus): Promise<ConnectionDomain> {
      const verified = status === 'verified';
      await db.raw(
        `INSERT INTO connection_domains AS d (connection_id, domain, status, verified_by, verified_at, token, created_at, updated_at)
         VALUES (:connectionId, :domain, :status, :verifiedBy, :verifiedAt, :token, :now, :now)
         ON CONFLICT (connection_id, domain) DO UPDATE
           SET status = excluded.status, verified_by = excluded.verified_by, verified_at = excluded.verified_at, updated_at = :now
         WHERE excluded.status <> 'pending' AND d.status <> excluded.status`,
        {
          connectionId,
          domain,
          status,
          verifiedBy: verified ? 'admin' : null,
          verifiedAt: verified ? now() : null,
          token: randomToken(),
          now: now(),
        },
      );
      await changed(connectionId);
      return get(connectionId, domain);
    },

    /**
     * Looks for the TXT record. Whoever can write it holds the domain.
     * @throws BrokerError `not_found`; `conflict`, reason `dns_record_missing`; `upstream_unavailable`, reason `dns`
     */
    async verify(connectionId: string, name: string): Promise<ConnectionDomain> {
      const { domain, record, status } = await get(connectionId, name);
      if (status === 'verified') return get(connectionId, domain);
      const found = await resolveTxt(domain).catch((cause: unknown) => {
        throw new BrokerError('upstream_unavailable', `the TXT records of ${domain} cannot be read`, { cause, reason: 'dns' });
      });
      if (!found.some((text) => text.trim() === record)) {
        throw new BrokerError('conflict', `${domain} has no TXT record ${record}`, {
          reason: 'dns_record_missing',
          fields: [{ path: 'domain', message: `publish the TXT record "${record}" at ${domain}, and try again in some minutes` }],
        });
      }
      // Only what was looked up: the domain may have been removed and added anew meanwhile, with another token.
      await rowOf(connectionId, domain)
        .andWhere({ token: record.slice(recordPrefix.length) })
        .update({ status: 'verified', verified_by: 'dns', verified_at: now(), updated_at: now() });
      await changed(connectionId);
      return get(connectionId, domain);
    },

    /** @throws BrokerError `not_found` */
    async remove(connectionId: string, name: string): Promise<void> {
      const { domain } = await get(connectionId, name);
      await rowOf(connectionId, domain).delete();
      await changed(connectionId);
    },
  };
}

const recordPrefix = 'rollcall-verify=';

interface DomainRow {
  connection_id: string;
  domain: string;
  status: DomainStatus;
  verified_by: 'dns' | 'admin' | null;
  verified_at: Date | null;
  token: string;
  created_at: Date;
  updated_at: Date;
}

function domainOf(row: DomainRow): ConnectionDomain {
  return {
    domain: row.domain,
    status: row.status,
    verifiedBy: row.verified_by,
    verifiedAt: row.verified_at,
    record: recordPrefix + row.token,
    createdAt: row.created_at,
  };
}
