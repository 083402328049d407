import { randomBytes } from 'node:crypto';
import { BrokerError } from '../../src/domain/broker-error.ts';
import type { Database } from '../../src/infra/postgres.ts';
import { createSealedBox } from '../../src/infra/sealed-box.ts';
import { type ConnectionInput, connectionInputSchema } from '../../src/login/connection-input.ts';
import { createConnectionStore } from '../../src/login/connection-store.ts';
import { createWorkspaceStore } from '../../src/membership/workspace-store.ts';

export const aMetadata = '<EntityDescriptor entityID="https://idp.example.com"/>';

/** Stores on a real database, with metadata documents by address instead of the network. */
export function connectionWorld(db: Database) {
  const now = () => new Date();
  const documents = new Map<string, string>([['https://idp.example.com/metadata', aMetadata]]);
  const sealedBox = createSealedBox({ keys: [`k1:${randomBytes(32).toString('base64')}`] });
  const connections = createConnectionStore({
    db,
    sealedBox,
    now,
    async fetchMetadata(url) {
      const document = documents.get(url);
      if (document !== undefined) return document;
      throw new BrokerError('upstream_unavailable', 'no answer in time', { reason: 'timeout' });
    },
    readMetadata(xml) {
      if (xml.startsWith('<EntityDescriptor')) return xml;
      throw new BrokerError('upstream_misconfigured', 'this is no SAML metadata', { reason: 'metadata_invalid' });
    },
  });
  return { connections, workspaces: createWorkspaceStore({ db, now }), sealedBox, documents };
}

export const samlProtocol = { type: 'saml', metadata_xml: aMetadata };
export const oidcProtocol = {
  type: 'oidc',
  discovery_url: 'https://idp.example.com/.well-known/openid-configuration',
  client_id: 'rollcall',
  client_secret: 'a secret of the IdP',
};

/** An input as a file or request gives it, parsed. */
export function aConnectionInput(given: object): ConnectionInput {
  return connectionInputSchema.parse({ display_name: 'Okta', protocol: samlProtocol, ...given });
}
