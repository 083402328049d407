import { createConnection, createServer, type Socket } from 'node:net';

export interface RoundTripCounter {
  readonly url: string;
  /** Since the last call: what the client sent and then waited for an answer to. */
  count(): number;
  close(): Promise<void>;
}

const [query, sync] = [0x51, 0x53];
const headerBytes = 5;

/**
 * Stands before Postgres and counts round trips: the client waits after each Query and each Sync (PostgreSQL, "Message Flow"). Messages
 * have a byte of type and four of length; the first one of a connection has no type.
 */
export async function countRoundTrips(url: string): Promise<RoundTripCounter> {
  const { hostname: host, port } = new URL(url);
  const sockets = new Set<Socket>();
  let trips = 0;

  const server = createServer((client) => {
    const upstream = createConnection({ host, port: Number(port) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    }
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
    upstream.pipe(client, { end: false });
    let rest: Buffer = Buffer.alloc(0);
    let begun = false;
    client.on('data', (chunk) => {
      upstream.write(chunk);
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (;;) {
        const typeBytes = begun ? 1 : 0;
        if (rest.length < headerBytes) return;
        const length = rest.readUInt32BE(typeBytes) + typeBytes;
        if (rest.length < length) return;
        if (begun && (rest[0] === query || rest[0] === sync)) trips += 1;
        begun = true;
        rest = rest.subarray(length);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const own = server.address();
  const address = new URL(url);
  address.host = `127.0.0.1:${typeof own === 'object' && own !== null ? own.port : 0}`;
  return {
    url: address.href,
    count() {
      const counted = trips;
      trips = 0;
      return counted;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
