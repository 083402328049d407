import type { SendRequest } from './broker-browser.ts';

export interface ApiAnswer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** A problem document (RFC 9457). */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly code: string;
  readonly reason?: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
  readonly request_id: string;
}

export interface TestWorkspace {
  readonly id: string;
  readonly slug: string;
  /** Group ids by name. */
  readonly groups: Readonly<Record<string, string>>;
}

export interface TraceBody {
  readonly login_id: string;
  readonly connection_id: string | null;
  readonly user_id: string | null;
  readonly outcome: string;
  readonly reason: string | null;
  readonly detail: {
    readonly protocol?: string;
    readonly checks?: readonly string[];
    readonly notes?: readonly string[];
    readonly message?: string;
    readonly workspaces?: readonly { readonly groups: Readonly<Record<string, unknown>>; readonly [field: string]: unknown }[];
  };
}

export interface EventBody {
  readonly id: string;
  readonly type: string;
  readonly data: {
    readonly user: { readonly id: string };
    readonly workspace?: { readonly id: string; readonly slug: string };
    readonly version?: number;
    readonly role?: string;
    readonly reason?: string;
    readonly groups?: readonly { readonly id: string; readonly name: string }[];
    readonly added?: readonly { readonly name: string }[];
    readonly removed?: readonly { readonly name: string }[];
  };
}

export interface ExplanationBody {
  readonly role: string;
  readonly groups: readonly { readonly id: string; readonly name: string }[];
  readonly status: string;
  readonly version: number;
  readonly reasons: readonly { readonly grant: object; readonly idp_group: string | null; readonly via: object }[];
  readonly warnings: readonly { readonly kind: string; readonly idp_group: string }[];
  readonly login: { readonly login_id: string; readonly connection_id: string; readonly connection: string };
}

export type BrokerApi = ReturnType<typeof createBrokerApi>;

/** The REST API, as an operator's script uses it. */
export function createBrokerApi(options: { readonly publicUrl: string; readonly send: SendRequest; readonly apiKey: string }) {
  const { publicUrl, send, apiKey } = options;

  async function call<Body>(method: string, path: string, body?: unknown): Promise<ApiAnswer<Body>> {
    const response = await send(`${publicUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: (text === '' ? null : JSON.parse(text)) as Body };
  }

  async function ok<Body>(method: string, path: string, body?: unknown): Promise<Body> {
    const answer = await call<Body>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path} answers ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  return {
    /** For requests that are to be refused. */
    call,
    get: <Body>(path: string) => ok<Body>('GET', path),
    post: <Body>(path: string, body: unknown) => ok<Body>('POST', path, body),
    put: <Body>(path: string, body: unknown) => ok<Body>('PUT', path, body),
    patch: <Body>(path: string, body: unknown) => ok<Body>('PATCH', path, body),
    delete: (path: string) => ok('DELETE', path),

    /** @param groups name to the role that the group requires; null: none */
    async workspace(slug: string, groups: Readonly<Record<string, string | null>> = {}): Promise<TestWorkspace> {
      const { workspace_id: id } = await ok<{ workspace_id: string }>('POST', '/v1/workspaces', { slug });
      const catalogue = Object.entries(groups).map(([name, requires_role]) => ({ name, requires_role }));
      const { data } = await ok<{ data: { name: string; group_id: string }[] }>('PUT', `/v1/workspaces/${id}/app-groups`, {
        groups: catalogue,
      });
      return { id, slug, groups: Object.fromEntries(data.map(({ name, group_id }) => [name, group_id])) };
    },

    async trace(loginId: string): Promise<TraceBody | null> {
      const { status, body } = await call<TraceBody>('GET', `/v1/logins/${loginId}`);
      return status === 404 ? null : body;
    },

    async events(query = ''): Promise<readonly EventBody[]> {
      return (await ok<{ data: EventBody[] }>('GET', `/v1/events?limit=200${query}`)).data;
    },

    explain: (workspaceId: string, userId: string) =>
      ok<ExplanationBody>('GET', `/v1/workspaces/${workspaceId}/members/${userId}/explain`),
  };
}
