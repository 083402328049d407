export interface BreakerOptions {
  /** After a failure nothing is tried for this long; then one caller at a time probes. */
  readonly pauseMilliseconds: number;
  /** A clock that never goes back. */
  readonly elapsedMilliseconds: () => number;
  /** Called when a failure closes the way, and when a success opens it again. */
  readonly onChange: (state: 'failing' | 'working', error: unknown) => void;
}

export type Attempt<T> = { readonly answered: true; readonly value: T } | { readonly answered: false };

export interface Breaker {
  /** Runs the operation, or says at once that it would not be answered. Never rejects. */
  attempt<T>(operation: () => Promise<T>): Promise<Attempt<T>>;
}

/** Keeps callers from waiting, one after the other, for something that is known to be away. */
export function createBreaker({ pauseMilliseconds, elapsedMilliseconds, onChange }: BreakerOptions): Breaker {
  let failing = false;
  let probing = false;
  let retryAt = 0;
  return {
    async attempt<T>(operation: () => Promise<T>): Promise<Attempt<T>> {
      if (failing && (probing || elapsedMilliseconds() < retryAt)) return { answered: false };
      const probe = failing;
      probing = probe;
      try {
        const value = await operation();
        if (probe) {
          failing = false;
          onChange('working', undefined);
        }
        return { answered: true, value };
      } catch (error) {
        retryAt = elapsedMilliseconds() + pauseMilliseconds;
        if (!failing) {
          failing = true;
          onChange('failing', error);
        }
        return { answered: false };
      } finally {
        if (probe) probing = false;
      }
    },
  };
}
