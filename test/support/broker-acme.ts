import { connectOidc, connectSaml } from './broker-connections.ts';
import type { OidcConnection, SamlConnection } from './broker-login.ts';
import { createSamlIdp } from './broker-saml-idp.ts';
import { type BrokerWorld, startBrokerWorld } from './broker-world.ts';
import { type OidcIdp, startOidcIdp } from './oidc-idp.ts';

export interface Acme {
  readonly world: BrokerWorld;
  /** The OpenID Connect one. */
  readonly idp: OidcIdp;
  readonly saml: SamlConnection;
  readonly oidc: OidcConnection;
  stop(): Promise<void>;
}

/** A broker with the workspace acme, which has the app group `design` and a connection of each protocol. */
export async function startAcme(): Promise<Acme> {
  const samlIdp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  const [world, idp] = await Promise.all([startBrokerWorld(), startOidcIdp()]);
  await world.api.workspace('acme', { design: null });
  const saml = await connectSaml(world, samlIdp, { workspace: 'acme' });
  const oidc = await connectOidc(world, idp, { workspace: 'acme' });
  return {
    world,
    idp,
    saml,
    oidc,
    async stop() {
      await world.stop();
      await idp.stop();
    },
  };
}
