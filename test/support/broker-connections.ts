import type { OidcConnection, SamlConnection } from './broker-login.ts';
import type { SamlIdp } from './broker-saml-idp.ts';
import type { BrokerWorld } from './broker-world.ts';
import type { OidcIdp } from './oidc-idp.ts';

export interface ConnectionOptions {
  /** Id or slug; absent: instance level. */
  readonly workspace?: string;
  readonly groupSync?: Readonly<Record<string, unknown>>;
  /** More fields of the connection, as the API takes them. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** More fields of its protocol. */
  readonly protocol?: Readonly<Record<string, unknown>>;
}

let count = 0;

/** Makes a SAML connection through the API. Group sync is on unless told. */
export async function connectSaml(world: BrokerWorld, idp: SamlIdp, options: ConnectionOptions = {}): Promise<SamlConnection> {
  const protocol = { type: 'saml', metadata_xml: idp.metadata, ...options.protocol };
  return { id: await createConnection(world, protocol, options), idp };
}

export async function connectOidc(world: BrokerWorld, idp: OidcIdp, options: ConnectionOptions = {}): Promise<OidcConnection> {
  const { issuer, client } = idp;
  const protocol = {
    type: 'oidc',
    discovery_url: issuer,
    client_id: client.id,
    client_secret: client.secret,
    ...options.protocol,
  };
  return { id: await createConnection(world, protocol, options), idp };
}

async function createConnection(world: BrokerWorld, protocol: object, options: ConnectionOptions): Promise<string> {
  count += 1;
  const { connection_id: id } = await world.api.post<{ connection_id: string }>('/v1/connections', {
    workspace: options.workspace ?? null,
    display_name: `Connection ${count}`,
    protocol,
    group_sync: { enabled: true, ...options.groupSync },
    ...options.fields,
  });
  return id;
}
