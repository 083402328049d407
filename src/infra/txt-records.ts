import { Resolver } from 'node:dns/promises';

const nothingThere = ['ENOTFOUND', 'ENODATA'];

/**
 * Reads TXT records by the system's name servers.
 * @returns each record with its parts joined (RFC 7208 3.3); rejects when no server answers in time
 */
export function createTxtResolver({ timeoutSeconds }: { readonly timeoutSeconds: number }) {
  return async function resolveTxt(domain: string): Promise<readonly string[]> {
    const resolver = new Resolver({ timeout: (timeoutSeconds * 1_000) / 2, tries: 2 });
    try {
      return (await resolver.resolveTxt(domain)).map((parts) => parts.join(''));
    } catch (error) {
      if (nothingThere.includes((error as NodeJS.ErrnoException).code ?? '')) return [];
      throw error;
    }
  };
}
