import { z } from 'zod';
import { type Explanation, readExplanation } from './app-explanation.ts';

/** Where Rollcall's API is, and the app's key for it. */
export interface RollcallApi {
  readonly url: string;
  readonly apiKey: string;
}

/**
 * Asks Rollcall why a member has what they have (R37). Null, and a report, when it does not answer: the page is worth showing without.
 */
export function createExplainer({ reportError, ...api }: RollcallApi & { reportError: (error: unknown) => void }) {
  return async (workspaceId: string, userId: string): Promise<Explanation | null> => {
    try {
      const path = `/v1/workspaces/${encodeURIComponent(workspaceId)}/members/${encodeURIComponent(userId)}/explain`;
      return readExplanation(await getJson(api, path));
    } catch (error) {
      reportError(error);
      return null;
    }
  };
}

const workspacesSchema = z.object({
  data: z.array(z.object({ workspace_id: z.string(), slug: z.string(), status: z.string() })),
});
const digestSchema = z.object({ cursor: z.string(), count: z.number(), digest: z.string() });
const eventsSchema = z.object({ data: z.array(z.unknown()), next_cursor: z.string().nullable(), has_more: z.boolean() });

export type RollcallDigest = z.infer<typeof digestSchema>;
export type MemberSource = ReturnType<typeof createMemberSource>;

/** What the app compares its copy with, and makes it anew from (R40). All throw when Rollcall does not answer. */
export function createMemberSource(api: RollcallApi) {
  return {
    async workspaces(): Promise<readonly { readonly id: string; readonly slug: string }[]> {
      const { data } = workspacesSchema.parse(await getJson(api, '/v1/workspaces?limit=200'));
      return data.flatMap(({ workspace_id: id, slug, status }) => (status === 'active' ? [{ id, slug }] : []));
    },

    async digest(workspaceId: string): Promise<RollcallDigest> {
      // A million members take a few seconds.
      return digestSchema.parse(await getJson(api, `/v1/workspaces/${encodeURIComponent(workspaceId)}/digest`, 30));
    },

    /** The bytes of the snapshot as they come. */
    async snapshot(workspaceId: string): Promise<AsyncIterable<Uint8Array>> {
      const response = await get(api, `/v1/workspaces/${encodeURIComponent(workspaceId)}/snapshot`, AbortSignal.timeout(600_000));
      if (response.body === null) throw new Error('Rollcall answered a snapshot without a body');
      return response.body;
    },

    /** Events of one workspace after the cursor, and the cursor to read on from. `more`: there are some already. */
    async events(
      workspaceId: string,
      after: string,
    ): Promise<{ readonly events: readonly unknown[]; readonly cursor: string; readonly more: boolean }> {
      const query = new URLSearchParams({ after, workspace: workspaceId, limit: '200' });
      const page = eventsSchema.parse(await getJson(api, `/v1/events?${query}`));
      return { events: page.data, cursor: page.next_cursor ?? after, more: page.has_more };
    },
  };
}

async function getJson(api: RollcallApi, path: string, seconds = 3): Promise<unknown> {
  return (await get(api, path, AbortSignal.timeout(seconds * 1_000))).json();
}

async function get({ url, apiKey }: RollcallApi, path: string, signal: AbortSignal): Promise<Response> {
  const response = await fetch(new URL(path, url), { headers: { authorization: `Bearer ${apiKey}` }, signal });
  if (!response.ok) throw new Error(`Rollcall answered ${response.status} to ${path.split('?', 1)[0]}`);
  return response;
}
