import { createPrivateKey, type KeyObject } from 'node:crypto';
import { BrokerError } from '../domain/broker-error.ts';
import {
  generateKey,
  inSigningOrder,
  type KeyAlgorithm,
  type KeyKind,
  type KeyPurpose,
  keyKinds,
  sealingContext,
} from './instance-key-kinds.ts';
import type { Database, Transaction } from './postgres.ts';
import type { SealedBox } from './sealed-box.ts';

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

/** Signs webhooks so that a receiver needs no secret (Standard Webhooks `v1a`). */
export interface WebhookSigningKey {
  /** RFC 7638 thumbprint of the public key. */
  readonly keyId: string;
  /** Ed25519 */
  readonly privateKey: KeyObject;
}

/** The key pairs of the instance that are in force. */
export interface InstanceKeySet {
  /** Of each algorithm the first signs; all stand in the JWKS. */
  readonly tokenSigning: readonly TokenSigningKey[];
  /** The oldest: an identity provider knows a newer one only once it was given the metadata with it. */
  readonly samlSigning: KeyAndCertificate;
  /** PEM of the keys that will sign once the ones before are retired; in the metadata already. */
  readonly samlSigningNext: readonly string[];
  /** Newest first; the first stands in the metadata, all open. */
  readonly samlDecryption: readonly KeyAndCertificate[];
  /** Newest first. */
  readonly webhookSigning: readonly WebhookSigningKey[];
}

interface KeyRow {
  readonly key_id: string;
  readonly purpose: KeyPurpose;
  readonly algorithm: KeyAlgorithm;
  readonly sealed_private_key: string;
  readonly certificate: string | null;
  readonly created_at: Date;
}

export type InstanceKeys = ReturnType<typeof createInstanceKeys>;

/**
 * The instance's own key pairs, in Postgres with their private parts sealed; made at the first start.
 * @param deps.publishSeconds how long a new token key stands in the JWKS before it signs
 */
export function createInstanceKeys(deps: {
  readonly db: Database;
  readonly sealedBox: SealedBox;
  readonly now: () => Date;
  readonly publishSeconds: number;
}) {
  const { db, sealedBox, now, publishSeconds } = deps;

  return {
    /**
     * Makes the key pairs that are missing. Replicas that start at once agree on one pair of each kind: each generates outside of the
     * transaction, the first to get the lock stores, the others throw theirs away.
     */
    async ensure(): Promise<void> {
      const missing = await missingKinds(db);
      if (missing.length === 0) return;
      const generated = await Promise.all(
        missing.map(async (kind) => ({ kind, row: await generateKey(kind, { sealedBox, now: now() }) })),
      );
      await db.transaction(async (transaction) => {
        await lockKeys(transaction);
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
      const of = (purpose: KeyPurpose) => rows.filter((row) => row.purpose === purpose);
      const tokenSigning = inSigningOrder(
        of('token-signing').map((row) => ({ ...tokenKey(row), createdAt: row.created_at })),
        { publishSeconds, now: now() },
      ).map(({ keyId, algorithm, privateKey }) => ({ keyId, algorithm, privateKey }));
      const [samlSigning, ...samlSigningNext] = of('saml-signing').map(withCertificate).toReversed();
      const samlDecryption = of('saml-decryption').map(withCertificate);
      const webhookSigning = of('webhook-signing').map((row) => ({ keyId: row.key_id, privateKey: open(row) }));
      const isWhole = [tokenSigning, samlDecryption, webhookSigning].every((keys) => keys.length > 0);
      if (!isWhole || samlSigning === undefined) {
        throw new BrokerError('internal', 'the key pairs of this instance are missing in Postgres', {
          reason: 'instance_keys_missing',
        });
      }
      const next = samlSigningNext.map(({ certificate }) => certificate);
      return { tokenSigning, samlSigning, samlSigningNext: next, samlDecryption, webhookSigning };
    },
  };

  function tokenKey(row: KeyRow): TokenSigningKey {
    return { keyId: row.key_id, algorithm: tokenAlgorithm(row), privateKey: open(row) };
  }

  function open(row: KeyRow): KeyObject {
    return createPrivateKey(sealedBox.open(row.sealed_private_key, sealingContext(row.key_id)));
  }

  function withCertificate(row: KeyRow): KeyAndCertificate {
    if (row.certificate === null) throw new BrokerError('internal', `key ${row.key_id} has no certificate`);
    return { privateKey: open(row), certificate: row.certificate };
  }
}

/** Replicas and commands that make or retire keys follow one another, until the transaction ends. */
export async function lockKeys(tx: Transaction): Promise<void> {
  await tx.raw(`SELECT pg_advisory_xact_lock(hashtext('rollcall instance keys'))`);
}

async function missingKinds(db: Database | Transaction): Promise<readonly KeyKind[]> {
  const rows = await keysInForce(db);
  return keyKinds.filter(({ purpose, algorithm }) => !rows.some((row) => row.purpose === purpose && row.algorithm === algorithm));
}

async function keysInForce(db: Database | Transaction): Promise<readonly KeyRow[]> {
  return db('instance_keys')
    .select('key_id', 'purpose', 'algorithm', 'sealed_private_key', 'certificate', 'created_at')
    .whereNull('retired_at')
    .orderBy([{ column: 'created_at', order: 'desc' }, 'key_id']);
}

function tokenAlgorithm({ key_id: keyId, algorithm }: KeyRow): TokenSigningKey['algorithm'] {
  if (algorithm === 'ES256' || algorithm === 'RS256') return algorithm;
  throw new BrokerError('internal', `key ${keyId} cannot sign tokens`);
}
