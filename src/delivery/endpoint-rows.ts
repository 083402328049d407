import type { EndpointInput, EndpointPatch } from './endpoint-input.ts';

/** An endpoint as it may be shown: never with its secrets. */
export interface Endpoint {
  readonly endpointId: string;
  readonly url: string;
  readonly description: string;
  readonly eventTypes: EndpointInput['eventTypes'];
  readonly workspaceIds: readonly string[] | null;
  readonly enabled: boolean;
  /** `gone`: the receiver answered 410. */
  readonly disabledReason: 'request' | 'gone' | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface SealedSecret {
  readonly sealed: string;
  /** ISO 8601; null: until it is replaced. */
  readonly expires_at: string | null;
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
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** The columns that `toEndpoint` reads: the secrets stay in the database. */
export const shownColumns = [
  'endpoint_id',
  'url',
  'description',
  'event_types',
  'workspace_ids',
  'enabled',
  'disabled_reason',
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
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** The columns that a change writes: none for what it leaves out. */
export function columnsOf(change: EndpointPatch): Readonly<Record<string, unknown>> {
  const { url, description, eventTypes, workspaceIds, enabled } = change;
  const columns = {
    url,
    description,
    event_types: eventTypes,
    workspace_ids: workspaceIds,
    enabled,
    disabled_reason: enabled === undefined ? undefined : enabled ? null : 'request',
  };
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined));
}
