import { BrokerError } from '../domain/broker-error.ts';
import { generateKey, inSigningOrder, type KeyAlgorithm, type KeyPurpose, keyKinds } from './instance-key-kinds.ts';
import { lockKeys } from './instance-keys.ts';
import type { Database, Transaction } from './postgres.ts';
import type { SealedBox } from './sealed-box.ts';

/** A key pair of the instance, without its private part. */
export interface InstanceKey {
  readonly keyId: string;
  readonly purpose: KeyPurpose;
  readonly algorithm: KeyAlgorithm;
  readonly createdAt: Date;
  readonly retiredAt: Date | null;
  /** What it does now. */
  readonly state: 'in_use' | 'published' | 'verifies' | 'retired';
  /** When a published token key begins to sign. */
  readonly signsFrom: Date | null;
  /** When a token key that signs no more can be retired without taking back what it signed. */
  readonly neededUntil: Date | null;
}

export type InstanceKeyRotation = ReturnType<typeof createInstanceKeyRotation>;

/** Makes new key pairs beside those in force, and retires the old ones once nobody needs them. */
export function createInstanceKeyRotation(deps: {
  readonly db: Database;
  readonly sealedBox: Pick<SealedBox, 'seal'>;
  readonly now: () => Date;
  readonly publishSeconds: number;
  /** The longest time that a token is good for. */
  readonly tokenSeconds: number;
}) {
  const { db, sealedBox, now } = deps;
  const read = async (reader: Database | Transaction) => withStates(await readKeys(reader), { ...deps, now: now() });

  return {
    /** By purpose; within one, newest first. Retired ones at the end. */
    list: () => read(db),

    /**
     * Makes a new key pair of each algorithm that the purpose has. Which of them is used when: see `InstanceKeySet`.
     * @throws BrokerError `conflict` while two are in force already
     */
    async rotate(purpose: KeyPurpose): Promise<readonly InstanceKey[]> {
      const kinds = keyKinds.filter((kind) => kind.purpose === purpose);
      const rows = await Promise.all(kinds.map((kind) => generateKey(kind, { sealedBox, now: now() })));
      return db.transaction(async (tx) => {
        await lockKeys(tx);
        const inForce = (await read(tx)).filter((key) => key.purpose === purpose && key.state !== 'retired');
        if (inForce.length > kinds.length) {
          throw new BrokerError('conflict', `a rotation is under way: retire the old ${purpose} key first`, {
            reason: 'rotation_under_way',
          });
        }
        await tx('instance_keys').insert(rows);
        const made = rows.map(({ key_id: keyId }) => keyId);
        return (await read(tx)).filter(({ keyId }) => made.includes(keyId));
      });
    },

    /**
     * Takes a key out of force.
     * @param options.force even if it is still needed: for a private key that others may have
     * @throws BrokerError `not_found`; `conflict` for the last of its kind, and for one that is needed unless `force`
     */
    async retire(keyId: string, { force }: { readonly force: boolean }): Promise<InstanceKey> {
      return db.transaction(async (tx) => {
        await lockKeys(tx);
        const keys = await read(tx);
        const key = keys.find((candidate) => candidate.keyId === keyId && candidate.state !== 'retired');
        if (!key) throw new BrokerError('not_found', `there is no key ${keyId} in force`);
        const others = keys.filter((other) => isSameKind(other, key) && other.state !== 'retired' && other.keyId !== keyId);
        const refusal = others.length === 0 ? lastOfItsKind(key) : force ? null : stillNeeded(key, others, now());
        if (refusal !== null) throw refusal;
        await tx('instance_keys').where({ key_id: keyId }).update({ retired_at: now() });
        return { ...key, state: 'retired', retiredAt: now(), signsFrom: null, neededUntil: null };
      });
    },
  };
}

type KeyRecord = Pick<InstanceKey, 'keyId' | 'purpose' | 'algorithm' | 'createdAt' | 'retiredAt'>;

async function readKeys(db: Database | Transaction): Promise<readonly KeyRecord[]> {
  return db('instance_keys')
    .select({ keyId: 'key_id', purpose: 'purpose', algorithm: 'algorithm', createdAt: 'created_at', retiredAt: 'retired_at' })
    .orderByRaw('retired_at IS NOT NULL, purpose, created_at DESC, key_id');
}

const isSameKind = (one: KeyRecord, other: KeyRecord) => one.purpose === other.purpose && one.algorithm === other.algorithm;

/** Pure. */
export function withStates(
  keys: readonly KeyRecord[],
  rules: { readonly publishSeconds: number; readonly tokenSeconds: number; readonly now: Date },
): readonly InstanceKey[] {
  return keys.map((key) => {
    const unused = { ...key, signsFrom: null, neededUntil: null };
    if (key.retiredAt !== null) return { ...unused, state: 'retired' };
    const kind = keys.filter((other) => isSameKind(other, key) && other.retiredAt === null);
    if (key.purpose === 'token-signing') return { ...unused, ...tokenKeyState(key, kind, rules) };
    // `readKeys` lists the newest first. A SAML signing key waits until the one before it is retired; of the others the newest serves.
    const inUse = key.purpose === 'saml-signing' ? kind.at(-1) : kind[0];
    if (inUse?.keyId === key.keyId) return { ...unused, state: 'in_use' };
    return { ...unused, state: key.purpose === 'saml-signing' ? 'published' : 'verifies' };
  });
}

function tokenKeyState(
  key: KeyRecord,
  kind: readonly KeyRecord[],
  rules: { readonly publishSeconds: number; readonly tokenSeconds: number; readonly now: Date },
): Pick<InstanceKey, 'state' | 'signsFrom' | 'neededUntil'> {
  const [signing] = inSigningOrder(kind, rules);
  if (!signing || signing.keyId === key.keyId) return { state: 'in_use', signsFrom: null, neededUntil: null };
  const after = (date: Date, seconds: number) => new Date(date.getTime() + seconds * 1_000);
  if (signing.createdAt < key.createdAt) {
    return { state: 'published', signsFrom: after(key.createdAt, rules.publishSeconds), neededUntil: null };
  }
  const signedUntil = after(signing.createdAt, rules.publishSeconds + replicaDelaySeconds);
  return { state: 'verifies', signsFrom: null, neededUntil: after(signedUntil, rules.tokenSeconds) };
}

/** A replica may go on with the key before it for as long as it takes to notice, and for the difference of the clocks. */
const replicaDelaySeconds = 120;

function lastOfItsKind({ purpose, algorithm }: InstanceKey): BrokerError {
  return new BrokerError('conflict', `the last ${purpose} key (${algorithm}) stays: rotate first`, { reason: 'last_key' });
}

/** Null: nobody misses it. */
function stillNeeded(key: InstanceKey, others: readonly InstanceKey[], now: Date): BrokerError | null {
  const refuse = (why: string) =>
    new BrokerError('conflict', `${why}; --force retires it at once, for a key that others may have`, { reason: 'key_needed' });
  if (key.purpose === 'token-signing') {
    if (key.state === 'verifies') {
      const isOver = key.neededUntil !== null && key.neededUntil <= now;
      return isOver ? null : refuse(`tokens that it signed are good until ${key.neededUntil?.toISOString()}`);
    }
    const next = others.find(({ signsFrom }) => signsFrom !== null)?.signsFrom;
    return refuse(key.state === 'in_use' && next ? `it signs tokens until ${next.toISOString()}` : 'it is the newer key');
  }
  // Retiring the SAML key in use is what ends a rotation; of the others the newest is what everybody was told to use.
  const isNewest = others.every(({ createdAt }) => createdAt <= key.createdAt);
  return isNewest ? refuse('it is the newer key') : null;
}
