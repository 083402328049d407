import pg from 'pg';
import type { Log } from './log.ts';

export interface Notifications {
  /**
   * Calls `onMessage` with the payload of each NOTIFY on the channel, and `onReconnect` after each connection that was made, the first
   * one too: whatever was sent before it never comes. Both may be called at any moment between `start` and `stop`.
   */
  listen(channel: string, onMessage: (payload: string) => void, onReconnect?: () => void): void;
  /** Connects in the background, and again for as long as it takes. */
  start(): void;
  stop(): Promise<void>;
}

interface Listener {
  readonly channel: string;
  readonly onMessage: (payload: string) => void;
  readonly onReconnect: (() => void) | undefined;
}

const firstRetryMilliseconds = 50;
const longestRetryMilliseconds = 2_000;
const connectMilliseconds = 5_000;
/** A connection that a firewall dropped says nothing: it is asked this often, and has this long to answer. */
const defaultKeepAliveMilliseconds = 15_000;
const defaultAnswerMilliseconds = 5_000;
const farewellMilliseconds = 1_000;

/**
 * Postgres' LISTEN for a whole process: one connection of its own, whatever number of channels. It must lead to the server itself:
 * PgBouncer in transaction mode takes a LISTEN and never passes a message on (law 11). Messages only hurry what is looked up anyway,
 * for they are lost while the connection is away.
 */
export function createNotifications(deps: {
  readonly url: string;
  readonly log: Log;
  readonly keepAliveMilliseconds?: number;
  readonly answerMilliseconds?: number;
}): Notifications {
  const { url, log } = deps;
  const { keepAliveMilliseconds = defaultKeepAliveMilliseconds, answerMilliseconds = defaultAnswerMilliseconds } = deps;
  const listeners: Listener[] = [];
  let client: pg.Client | null = null;
  let running = false;
  let attempts = 0;
  let timer: NodeJS.Timeout | undefined;
  let connecting: Promise<void> = Promise.resolve();
  let away = false;

  /** What a listener throws is its own affair: nobody awaits it here. */
  function call(listener: Listener, handler: () => void): void {
    try {
      handler();
    } catch (error) {
      log.error({ err: error, channel: listener.channel }, 'a notification could not be handled');
    }
  }

  function lost(which: pg.Client, error: unknown): void {
    if (client !== which) return;
    client = null;
    clearTimeout(timer);
    which.removeAllListeners('notification');
    // Its socket may hang as well: nothing is waited for.
    which.end().catch(() => {});
    which.connection.stream.destroy();
    if (!running) return;
    if (!away) log.warn({ err: error }, 'notifications of Postgres are away; changes are found by looking until they are back');
    away = true;
    const pause = Math.min(firstRetryMilliseconds * 2 ** attempts, longestRetryMilliseconds);
    attempts += 1;
    timer = setTimeout(begin, pause / 2 + Math.random() * (pause / 2)).unref();
  }

  function begin(): void {
    connecting = connect();
  }

  async function connect(): Promise<void> {
    const opened = new pg.Client({
      connectionString: url,
      application_name: 'rollcall notifications',
      connectionTimeoutMillis: connectMilliseconds,
      query_timeout: answerMilliseconds,
      keepAlive: true,
    });
    client = opened;
    opened.on('error', (error) => lost(opened, error));
    opened.on('end', () => lost(opened, new Error('the connection ended')));
    opened.on('notification', ({ channel, payload = '' }) => {
      for (const listener of listeners) {
        if (listener.channel === channel) call(listener, () => listener.onMessage(payload));
      }
    });
    try {
      await opened.connect();
      for (const channel of new Set(listeners.map((listener) => listener.channel))) await listenOn(opened, channel);
    } catch (error) {
      lost(opened, error);
      return;
    }
    if (client !== opened) return;
    attempts = 0;
    if (away) log.info('notifications of Postgres are back');
    away = false;
    keepAlive(opened);
    for (const listener of listeners) call(listener, () => listener.onReconnect?.());
  }

  function keepAlive(which: pg.Client): void {
    timer = setTimeout(() => {
      which.query('SELECT 1').then(
        () => client === which && keepAlive(which),
        (error: unknown) => lost(which, error),
      );
    }, keepAliveMilliseconds).unref();
  }

  return {
    listen(channel, onMessage, onReconnect) {
      const listener = { channel, onMessage, onReconnect };
      listeners.push(listener);
      const current = client;
      // Before `start` there is no connection; one that is being made lists the channels when it stands, and may have listed them.
      if (!current) return;
      connecting = connecting
        .then(async () => {
          if (client !== current) return;
          await listenOn(current, channel);
          call(listener, () => onReconnect?.());
        })
        .catch((error: unknown) => lost(current, error));
    },

    start() {
      if (running) return;
      running = true;
      begin();
    },

    async stop() {
      running = false;
      clearTimeout(timer);
      const current = client;
      client = null;
      if (current) await leave(current);
      await connecting;
    },
  };
}

/** Says goodbye, and does not wait for an answer from a network that hangs. */
async function leave(client: pg.Client): Promise<void> {
  client.removeAllListeners('notification');
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, farewellMilliseconds);
  await Promise.race([client.end().catch(() => {}), late]);
  clearTimeout(timer);
  client.connection.stream.destroy();
}

async function listenOn(client: pg.Client, channel: string): Promise<void> {
  await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
}
