import { createPublicKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint } from 'jose';
import type { SigningKey, TokenSigningAlgorithm } from '../../src/provider/signing-keys.ts';

const generateKeys = promisify(generateKeyPair);
const generate = {
  ES256: () => generateKeys('ec', { namedCurve: 'P-256' }),
  RS256: () => generateKeys('rsa', { modulusLength: 2048 }),
} as const;

/** A new key pair for tokens, named by its thumbprint as an instance names its own. */
export async function generateSigningKey(algorithm: TokenSigningAlgorithm): Promise<SigningKey> {
  const { privateKey } = await generate[algorithm]();
  const keyId = await calculateJwkThumbprint(createPublicKey(privateKey).export({ format: 'jwk' }));
  return { keyId, algorithm, privateKey };
}
