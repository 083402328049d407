import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';

export interface DemoPorts {
  readonly rollcall: number;
  readonly idp: number;
  readonly app: number;
}

/** Three ports on localhost: `first` and the two after it, or any free ones where `first` is 0. */
export async function findPorts(first: number): Promise<DemoPorts> {
  if (!Number.isInteger(first) || first < 0 || first > 65_533) throw new RangeError('ROLLCALL_DEMO_PORT must be a port number');
  if (first > 0) {
    for (const port of [first, first + 1, first + 2]) await claim([port]);
    return { rollcall: first, idp: first + 1, app: first + 2 };
  }
  const [rollcall, idp, app] = await claim([0, 0, 0]);
  return { rollcall: rollcall as number, idp: idp as number, app: app as number };
}

/** Listens on all of them at once, so that they differ, and lets them go. */
async function claim(ports: readonly number[]): Promise<number[]> {
  const servers = ports.map((port) => createServer().listen(port, 'localhost'));
  try {
    await Promise.all(servers.map((server) => once(server, 'listening')));
    return servers.map((server) => (server.address() as AddressInfo).port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new Error(
      `Port ${ports[0]} is in use. Stop the other program, or start elsewhere: ROLLCALL_DEMO_PORT=4000 npm run demo`,
    );
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}
