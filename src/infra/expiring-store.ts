/**
 * Short-lived values: pending logins, provider artifacts. Implementations: Redis, in process, Postgres (which stands in while Redis
 * is away); one contract suite (`test/integration/infra/expiring-store.test.ts`) runs on all of them.
 */
export interface ExpiringStore {
  /** @param ttlSeconds whole seconds, at least 1 */
  set(key: string, value: string, ttlSeconds: number): Promise<void>;
  /** Stores only if the key is absent: false if somebody else was first. */
  add(key: string, value: string, ttlSeconds: number): Promise<boolean>;
  get(key: string): Promise<string | null>;
  /** Reads and deletes in one step: of two simultaneous callers exactly one gets the value. */
  take(key: string): Promise<string | null>;
  delete(key: string): Promise<void>;
}
