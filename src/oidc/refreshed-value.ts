import { BrokerError } from '../domain/broker-error.ts';

export interface RefreshedValue<V> {
  /** The value, loaded at most once at a time. */
  get(): Promise<V>;
  /**
   * The value after one more load, whatever its age; within the cool-down of the last call of this kind, what there is. Callers that come
   * while a load is under way wait for that one.
   */
  renew(): Promise<V>;
}

interface Loaded<V> {
  readonly value: V;
  readonly at: number;
}

/**
 * One value of an IdP that is fetched anew from time to time: its metadata, its keys. While the IdP cannot be reached, the last good one
 * serves for `graceSeconds` longer; a failure without one is remembered for `retrySeconds`, so that logins do not queue up behind an
 * IdP that is down.
 */
export function createRefreshedValue<V>(options: {
  readonly load: () => Promise<V>;
  readonly now: () => Date;
  readonly refreshSeconds: number;
  readonly graceSeconds: number;
  readonly retrySeconds: number;
  /** The least time between two loads that `renew` causes. */
  readonly renewCooldownSeconds: number;
}): RefreshedValue<V> {
  const seconds = () => options.now().getTime() / 1000;
  let loaded: Loaded<V> | null = null;
  let failure: { readonly error: unknown; readonly at: number } | null = null;
  let loading: Promise<V> | null = null;
  let renewedAt = Number.NEGATIVE_INFINITY;

  function load(): Promise<V> {
    loading ??= options
      .load()
      .then(
        (value) => {
          loaded = { value, at: seconds() };
          failure = null;
          return value;
        },
        (error: unknown) => {
          failure = { error, at: seconds() };
          throw error;
        },
      )
      .finally(() => {
        loading = null;
      });
    return loading;
  }

  const failedJustNow = () => failure !== null && seconds() - failure.at < options.retrySeconds;

  /** The value there is, if it may still serve although it is due. */
  function lastGood(error: unknown): V {
    const inGrace = loaded !== null && seconds() - loaded.at < options.refreshSeconds + options.graceSeconds;
    if (loaded !== null && inGrace && error instanceof BrokerError && error.code === 'upstream_unavailable') return loaded.value;
    throw error;
  }

  async function get(): Promise<V> {
    if (loaded !== null && seconds() - loaded.at < options.refreshSeconds) return loaded.value;
    if (failure !== null && failedJustNow()) return lastGood(failure.error);
    try {
      return await load();
    } catch (error) {
      return lastGood(error);
    }
  }

  return {
    get,

    async renew() {
      if (loading !== null) return loading;
      if (seconds() - renewedAt < options.renewCooldownSeconds) {
        if (failure !== null) throw failure.error;
        return get();
      }
      renewedAt = seconds();
      return load();
    },
  };
}
