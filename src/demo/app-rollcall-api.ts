import { type Explanation, readExplanation } from './app-explanation.ts';

/** Where Rollcall's API is, and the app's key for it. */
export interface RollcallApi {
  readonly url: string;
  readonly apiKey: string;
}

/**
 * Asks Rollcall why a member has what they have (R37). Null, and a report, when it does not answer: the page is worth showing without.
 */
export function createExplainer({ url, apiKey, reportError }: RollcallApi & { reportError: (error: unknown) => void }) {
  return async (workspaceId: string, userId: string): Promise<Explanation | null> => {
    const path = `/v1/workspaces/${encodeURIComponent(workspaceId)}/members/${encodeURIComponent(userId)}/explain`;
    try {
      const response = await fetch(new URL(path, url), {
        headers: { authorization: `Bearer ${apiKey}`, accept: 'application/json' },
        signal: AbortSignal.timeout(3000),
      });
      if (!response.ok) throw new Error(`Rollcall answered ${response.status} to ${path}`);
      return readExplanation(await response.json());
    } catch (error) {
      reportError(error);
      return null;
    }
  };
}
