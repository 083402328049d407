import type { KeyObject } from 'node:crypto';
import { Router } from 'express';

/** Public half of a key that signs webhooks. */
export interface WebhookPublicKey {
  /** RFC 7638 thumbprint. */
  readonly keyId: string;
  /** Ed25519 */
  readonly publicKey: KeyObject;
}

export const webhookJwksPath = '/.well-known/webhook-jwks.json';

/** A new key signs beside the old one: who has the old answer still verifies, so that it may be kept for a while. */
const cacheSeconds = 300;

/** The keys that verify `v1a` signatures, all that are in force: JWKS (RFC 7517), Ed25519 keys after RFC 8037. Public. */
export function createWebhookJwksRoutes({ webhookKeys }: { readonly webhookKeys: () => readonly WebhookPublicKey[] }): Router {
  const router = Router();
  router.get(webhookJwksPath, (_req, res) => {
    res
      .setHeader('cache-control', `public, max-age=${cacheSeconds}`)
      .type('application/jwk-set+json')
      .send(JSON.stringify({ keys: webhookKeys().map(toJwk) }));
  });
  return router;
}

function toJwk({ keyId, publicKey }: WebhookPublicKey) {
  const { kty, crv, x } = publicKey.export({ format: 'jwk' });
  return { kty, crv, x, kid: keyId, use: 'sig', alg: 'EdDSA' };
}
