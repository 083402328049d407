import { createBreaker } from './breaker.ts';
import type { Log } from './log.ts';
import type { RedisClient } from './redis.ts';
import type { SealedBox } from './sealed-box.ts';

export interface SharedText {
  readonly revision: string;
  readonly text: string;
}

/** Texts that replicas share. Never rejects, and never waits long: what is not there now counts as not there. */
export interface SharedTexts {
  get(id: string): Promise<SharedText | null>;
  /** In the background. */
  put(id: string, shared: SharedText): void;
}

const secondsToLive = 24 * 60 * 60;
/** Reading a larger one from Redis takes as long as from Postgres. */
const maxCharacters = 4 * 1024 * 1024;
/** Sealed: three bytes of UTF-8 for most characters beyond ASCII, four thirds of that in base64url, and revision, nonce and tag. */
const maxStoredBytes = maxCharacters * 4 + 1_024;
const pauseMilliseconds = 1_000;

/**
 * Redis as the level between process and Postgres. Texts are sealed to instance, name, id and revision: whoever can read Redis learns no
 * configuration from it, and what was not written by this instance for exactly this place does not open. That counts as a miss, as does
 * a Redis that is away.
 */
export function createSharedTexts(deps: {
  readonly redis: RedisClient;
  /** What is kept, and in which format: change it when the text of an older version would be read wrongly. */
  readonly name: string;
  readonly sealedBox: SealedBox;
  readonly log: Log;
}): SharedTexts {
  const { redis, name, sealedBox, log } = deps;
  const keyOf = (id: string) => `cache:${name}:${id}`;
  const contextOf = (id: string, revision: string) => `cache/${name}/${id}/${revision}`;
  const breaker = createBreaker({
    pauseMilliseconds,
    elapsedMilliseconds: () => performance.now(),
    onChange: (state, error) =>
      state === 'failing'
        ? log.warn({ err: error, cache: name }, 'Redis does not answer: caches are filled from Postgres')
        : log.info({ cache: name }, 'caches are filled from Redis again'),
  });

  function open(id: string, stored: string): SharedText | null {
    const end = stored.indexOf(' ');
    const revision = stored.slice(0, Math.max(end, 0));
    try {
      return { revision, text: sealedBox.open(stored.slice(end + 1), contextOf(id, revision)) };
    } catch (error) {
      log.warn({ err: error, cache: name, id }, 'a cached value in Redis was refused');
      return null;
    }
  }

  return {
    async get(id) {
      // No more than can be ours: a longer value, whoever put it there, comes without its end and does not open.
      const attempt = await breaker.attempt(() => redis.getrange(keyOf(id), 0, maxStoredBytes).catch(asRefused));
      return attempt.answered && attempt.value !== '' ? open(id, attempt.value) : null;
    },
    put(id, { revision, text }) {
      if (text.length > maxCharacters) return;
      const value = `${revision} ${sealedBox.seal(text, contextOf(id, revision))}`;
      void breaker.attempt(() => redis.set(keyOf(id), value, 'EX', secondsToLive));
    },
  };
}

/** Redis answered, and the value is of another type: it opens as little as any other that is not ours. */
function asRefused(error: unknown): string {
  if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return ' ';
  throw error;
}
