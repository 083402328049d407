import { createConnection, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Ends all connections and refuses new ones, as a server that was killed. */
  cut(): Promise<void>;
  /** Takes connections and bytes and passes nothing on in either direction, as a server or a network that hangs. */
  hang(): void;
  /** Passes requests on and keeps the answers: what was asked is done, and nobody learns of it. */
  swallowAnswers(): void;
  /** As at the start; what was held back is passed on. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

/** Stands between a client and a real server and fails on demand. */
export async function startTcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  let mode: 'pass' | 'hang' | 'swallow' = 'pass';
  const sockets = new Set<Socket>();
  const pairs = new Set<{ client: Socket; upstream: Socket }>();

  const applyMode = () => {
    for (const { client, upstream } of pairs) {
      if (mode === 'hang') client.pause();
      else client.resume();
      if (mode === 'pass') upstream.resume();
      else upstream.pause();
    }
  };

  const server = createServer((client) => {
    const upstream = createConnection(target);
    const pair = { client, upstream };
    pairs.add(pair);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => to.write(chunk));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        pairs.delete(pair);
        to.destroy();
      });
    }
    applyMode();
  });

  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  await listen(0);
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  const { port } = address;

  const cut = () =>
    new Promise<void>((resolve) => {
      for (const socket of sockets) socket.destroy();
      if (server.listening) server.close(() => resolve());
      else resolve();
    });
  return {
    port,
    cut,
    hang() {
      mode = 'hang';
      applyMode();
    },
    swallowAnswers() {
      mode = 'swallow';
      applyMode();
    },
    async restore() {
      mode = 'pass';
      applyMode();
      if (!server.listening) await listen(port);
    },
    close: cut,
  };
}
