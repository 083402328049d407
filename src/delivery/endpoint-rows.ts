import type { EndpointInput, EndpointPatch } from './endpoint-input.ts';
import type { SealedSecret } from './endpoint-secrets.ts';

/** An endpoint as it may be shown: never with its secrets. */
export interface Endpoint {
  readonly endpointId: string;
  readonly url: string;
  readonly description: string;
  readonly eventTypes: EndpointInput['eventTypes'];
  readonly workspaceIds: readonly string[] | null;
  readonly enabled: boolean;
  /** `gone`: the receiver answered 410; `failing`: nothing succeeded for as long as attempts are made. */
  readonly disabledReason: 'request' | 'gone' | 'failing' | null;
  /** Their values may be secrets: they are shown to nobody. */
  readonly headerNames: readonly string[];
  readonly rateLimitPerSecond: number | null;
  readonly maxConcurrency: number | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface EndpointRow {
  readonly endpoint_id: string;
  readonly url: string;
  readonly description: string;
  readonly event_types: Endpoint['eventTypes'];
  readonly workspace_ids: string[] | null;
  readonly sealed_secrets: readonly SealedSecret[];
  readonly enabled: boolean;
  readonly disabled_reason: Endpoint['disabledReason'];
  /** Values sealed, by names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly rate_limit_per_second: number | null;
  readonly max_concurrency: number | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** The columns that `toEndpoint` reads: no secret is among them. */
export const shownColumns = [
  'endpoint_id',
  'url',
  'description',
  'event_types',
  'workspace_ids',
  'enabled',
  'disabled_reason',
  'headers',
  'rate_limit_per_second',
  'max_concurrency',
  'created_at',
  'updated_at',
];

export type ShownRow = Omit<EndpointRow, 'sealed_secrets'>;

export function toEndpoint(row: ShownRow): Endpoint {
  return {
    endpointId: row.endpoint_id,
    url: row.url,
    description: row.description,
    eventTypes: row.event_types,
    workspaceIds: row.workspace_ids,
    enabled: row.enabled,
    disabledReason: row.disabled_reason,
    headerNames: Object.keys(row.headers).sort(),
    rateLimitPerSecond: row.rate_limit_per_second,
    maxConcurrency: row.max_concurrency,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** The columns that a change writes, secrets and headers aside: none for what it leaves out. */
export function columnsOf(change: Omit<EndpointPatch, 'headers'>): Readonly<Record<string, unknown>> {
  const { url, description, eventTypes, workspaceIds, enabled, rateLimitPerSecond, maxConcurrency } = change;
  const columns = {
    url,
    description,
    event_types: eventTypes,
    workspace_ids: workspaceIds,
    enabled,
    disabled_reason: enabled === undefined ? undefined : enabled ? null : 'request',
    rate_limit_per_second: rateLimitPerSecond,
    max_concurrency: maxConcurrency,
  };
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined));
}
