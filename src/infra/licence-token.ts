import { createPublicKey, type KeyObject } from 'node:crypto';
import { compactVerify, decodeProtectedHeader, errors } from 'jose';
import { z } from 'zod';
import { BrokerError } from '../domain/broker-error.ts';
import type { Licence } from '../domain/licence.ts';

/** The type of key for each algorithm. EdDSA is RFC 8037's name, Ed25519 the one of RFC 9864 for the same signatures. */
const keyTypes = { EdDSA: 'ed25519', Ed25519: 'ed25519', ES256: 'ec' } as const;
const maxCharacters = 16_384;

const claimsSchema = z.object({
  exp: z.number().positive().max(253_402_300_799),
  features: z.array(z.string().max(100)).max(100),
  maxUsers: z.int().min(0).max(2_147_483_647).nullish(),
  jti: z.string().max(200).nullish(),
  sub: z.string().max(200).nullish(),
});

export type LicenceReader = ReturnType<typeof createLicenceReader>;

/** @param publicKeys PEM (SPKI) of Ed25519 and P-256 keys; none: no licence is required */
export function createLicenceReader({ publicKeys }: { readonly publicKeys: readonly string[] }) {
  const keys = publicKeys.map((pem) => createPublicKey(pem));
  return {
    required: keys.length > 0,

    /**
     * Reads a compact JWS (RFC 7515) that one of the keys signed. Whether it is past its end is for `domain/licence.ts` to say.
     * @throws BrokerError `validation_failed`, reason `licence_malformed` or `licence_signature_invalid`
     */
    async read(token: string): Promise<Licence> {
      if (token.length > maxCharacters) throw malformed('it is longer than a licence can be');
      const payload = await verifiedBy(keys, token.trim());
      const claims = claimsSchema.safeParse(parsed(payload));
      if (!claims.success) {
        throw malformed(`its claims are wrong: ${claims.error.issues.map(({ path }) => path.join('.') || 'all').join(', ')}`);
      }
      const { exp, features, maxUsers, jti, sub } = claims.data;
      return {
        licenceId: jti ?? null,
        holder: sub ?? null,
        expiresAt: new Date(exp * 1_000),
        features,
        maxUsers: maxUsers ?? null,
      };
    },
  };
}

async function verifiedBy(keys: readonly KeyObject[], token: string): Promise<Uint8Array> {
  const keyType = keyTypeIn(token);
  for (const key of keys.filter(({ asymmetricKeyType }) => asymmetricKeyType === keyType)) {
    try {
      return (await compactVerify(token, key, { algorithms: Object.keys(keyTypes) })).payload;
    } catch (error) {
      // The next key may be the one that signed.
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw malformed('it is no compact JWS', error);
    }
  }
  throw new BrokerError('validation_failed', 'no configured key signed the licence', { reason: 'licence_signature_invalid' });
}

function keyTypeIn(token: string): string {
  try {
    const { alg = '' } = decodeProtectedHeader(token);
    if (Object.hasOwn(keyTypes, alg)) return keyTypes[alg as keyof typeof keyTypes];
  } catch (error) {
    throw malformed('it is no compact JWS', error);
  }
  throw malformed('it is signed neither with EdDSA nor with ES256');
}

function parsed(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (error) {
    throw malformed('its content is no JSON', error);
  }
}

function malformed(detail: string, cause?: unknown): BrokerError {
  return new BrokerError('validation_failed', `the licence is malformed: ${detail}`, { reason: 'licence_malformed', cause });
}
