import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { BrokerError } from '../domain/broker-error.ts';
import type { Database, Transaction } from './postgres.ts';
import type { SealedBox } from './sealed-box.ts';
import { rsaSigningKey, selfSignedCertificate } from './self-signed-certificate.ts';

export interface TokenSigningKey {
  /** RFC 7638 thumbprint of the public key. */
  readonly keyId: string;
  readonly algorithm: 'ES256' | 'RS256';
  readonly privateKey: KeyObject;
}

export interface KeyAndCertificate {
  readonly privateKey: KeyObject;
  /** PEM */
  readonly certificate: string;
}

/** The key pairs of the instance; within each list the newest comes first. */
export interface InstanceKeySet {
  readonly tokenSigning: readonly TokenSigningKey[];
  readonly samlSigning: KeyAndCertificate;
  readonly samlDecryption: readonly KeyAndCertificate[];
}

interface KeyKind {
  readonly purpose: 'token-signing' | 'saml-signing' | 'saml-decryption';
  readonly algorithm: 'ES256' | 'RS256' | 'RSA-2048';
  /** Subject of the self-signed certificate that SAML metadata shows; null: none is needed. */
  readonly certificateName: string | null;
}

const kinds: readonly KeyKind[] = [
  { purpose: 'token-signing', algorithm: 'ES256', certificateName: null },
  { purpose: 'token-signing', algorithm: 'RS256', certificateName: null },
  { purpose: 'saml-signing', algorithm: 'RSA-2048', certificateName: 'Rollcall SAML signing' },
  { purpose: 'saml-decryption', algorithm: 'RSA-2048', certificateName: 'Rollcall SAML encryption' },
];

const certificateDays = 3_650;

interface KeyRow {
  readonly key_id: string;
  readonly purpose: KeyKind['purpose'];
  readonly algorithm: KeyKind['algorithm'];
  readonly sealed_private_key: string;
  readonly certificate: string | null;
}

export type InstanceKeys = ReturnType<typeof createInstanceKeys>;

/** The instance's own key pairs, in Postgres with their private parts sealed; made at the first start. */
export function createInstanceKeys(deps: { readonly db: Database; readonly sealedBox: SealedBox; readonly now: () => Date }) {
  const { db, sealedBox, now } = deps;

  return {
    /**
     * Makes the key pairs that are missing. Replicas that start at once agree on one pair of each kind: each generates outside of the
     * transaction, the first to get the lock stores, the others throw theirs away.
     */
    async ensure(): Promise<void> {
      const missing = await missingKinds(db);
      if (missing.length === 0) return;
      const generated = await Promise.all(missing.map(async (kind) => ({ kind, row: await generate(kind) })));
      await db.transaction(async (transaction) => {
        await transaction.raw(`SELECT pg_advisory_xact_lock(hashtext('rollcall instance keys'))`);
        const stillMissing = await missingKinds(transaction);
        const rows = generated.filter(({ kind }) => stillMissing.includes(kind)).map(({ row }) => row);
        if (rows.length > 0) await transaction('instance_keys').insert(rows);
      });
    },

    /**
     * The keys in force.
     * @throws BrokerError `internal` when a kind is missing: call `ensure` first; when the sealing key is not the one that sealed them
     */
    async load(): Promise<InstanceKeySet> {
      const rows = await keysInForce(db);
      const of = (purpose: KeyKind['purpose']) => rows.filter((row) => row.purpose === purpose);
      const tokenSigning = of('token-signing').map((row) => ({
        keyId: row.key_id,
        algorithm: tokenAlgorithm(row),
        privateKey: open(row),
      }));
      const [samlSigning] = of('saml-signing').map(withCertificate);
      const samlDecryption = of('saml-decryption').map(withCertificate);
      if (tokenSigning.length === 0 || samlSigning === undefined || samlDecryption.length === 0) {
        throw new BrokerError('internal', 'the key pairs of this instance are missing in Postgres', {
          reason: 'instance_keys_missing',
        });
      }
      return { tokenSigning, samlSigning, samlDecryption };
    },
  };

  async function generate({ purpose, algorithm, certificateName }: KeyKind) {
    const pair = await crypto.subtle.generateKey(generation[algorithm], true, ['sign', 'verify']);
    const privateKey = createPrivateKey({
      key: Buffer.from(await crypto.subtle.exportKey('pkcs8', pair.privateKey)),
      format: 'der',
      type: 'pkcs8',
    });
    const keyId = await calculateJwkThumbprint(createPublicKey(privateKey).export({ format: 'jwk' }));
    return {
      key_id: keyId,
      purpose,
      algorithm,
      sealed_private_key: sealedBox.seal(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), sealingContext(keyId)),
      certificate: certificateName === null ? null : await certify(certificateName, pair, purpose),
      created_at: now(),
    };
  }

  function certify(commonName: string, keys: CryptoKeyPair, purpose: KeyKind['purpose']): Promise<string> {
    const usage = purpose === 'saml-signing' ? 'signature' : 'encryption';
    return selfSignedCertificate({ commonName, keys, usage, now: now(), validDays: certificateDays });
  }

  function open(row: KeyRow): KeyObject {
    return createPrivateKey(sealedBox.open(row.sealed_private_key, sealingContext(row.key_id)));
  }

  function withCertificate(row: KeyRow): KeyAndCertificate {
    if (row.certificate === null) throw new BrokerError('internal', `key ${row.key_id} has no certificate`);
    return { privateKey: open(row), certificate: row.certificate };
  }
}

const generation = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: rsaSigningKey,
  'RSA-2048': rsaSigningKey,
} as const;

/** Binds the sealed key to its row: copied into another one, it does not open. */
function sealingContext(keyId: string): string {
  return `instance_keys/${keyId}`;
}

async function missingKinds(db: Database | Transaction): Promise<readonly KeyKind[]> {
  const rows = await keysInForce(db);
  return kinds.filter(({ purpose, algorithm }) => !rows.some((row) => row.purpose === purpose && row.algorithm === algorithm));
}

async function keysInForce(db: Database | Transaction): Promise<readonly KeyRow[]> {
  return db('instance_keys')
    .select('key_id', 'purpose', 'algorithm', 'sealed_private_key', 'certificate')
    .whereNull('retired_at')
    .orderBy([{ column: 'created_at', order: 'desc' }, 'key_id']);
}

function tokenAlgorithm({ key_id: keyId, algorithm }: KeyRow): TokenSigningKey['algorithm'] {
  if (algorithm === 'ES256' || algorithm === 'RS256') return algorithm;
  throw new BrokerError('internal', `key ${keyId} cannot sign tokens`);
}
