import type { Log } from './log.ts';
import type { RedisClient } from './redis.ts';

export interface RedisMessages {
  /** To every replica, this one included. Nobody hears it while Redis is away. */
  publish(message: string): void;
  start(): void;
  stop(): void;
}

/**
 * Redis' publish and subscribe, on a connection of its own, as a subscribed one takes no other commands. Messages only hurry what is
 * looked up anyway: a connection that breaks loses them.
 */
export function createRedisMessages(deps: {
  readonly redis: RedisClient;
  /** The client's key prefix does not reach channels: it is put before this by hand. */
  readonly channel: string;
  readonly onMessage: (message: string) => void;
  /** After each connection: whatever was sent before it never comes. */
  readonly onReconnect: () => void;
  readonly log: Log;
}): RedisMessages {
  const { redis, onMessage, onReconnect, log } = deps;
  const channel = `${redis.options.keyPrefix ?? ''}${deps.channel}`;
  let subscriber: RedisClient | null = null;

  return {
    publish(message) {
      redis.publish(channel, message).catch((error: unknown) => log.debug({ err: error }, 'a message was not published'));
    },
    start() {
      if (subscriber) return;
      const own = redis.duplicate({ keyPrefix: '', autoResubscribe: false });
      subscriber = own;
      // The other connection says that Redis is away, and that it is back.
      own.on('error', () => {});
      own.on('ready', () => {
        own.subscribe(channel).then(onReconnect, (error: unknown) => {
          log.debug({ err: error }, 'the subscription failed; a new connection tries again');
          own.disconnect(true);
        });
      });
      own.on('message', (from, message) => {
        if (from === channel) onMessage(message);
      });
    },
    stop() {
      subscriber?.disconnect();
      subscriber = null;
    },
  };
}
