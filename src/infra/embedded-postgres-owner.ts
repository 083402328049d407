import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Place } from './embedded-postgres-place.ts';
import { isAlive, type Server, startTicks } from './embedded-postgres-process.ts';
import { randomToken } from './unique-id.ts';

/**
 * Who ends the server: whoever started it, or found it without a living owner. Others are guests. Noted in a file with the
 * owner's start time, because process ids are used again, and a token, because one process may ask twice.
 */
const ownerFile = 'owner.json';

const ownerSchema = z.object({
  token: z.string(),
  pid: z.number().int(),
  startTicks: z.string().nullable(),
  serverPid: z.number().int(),
});
type Owner = z.infer<typeof ownerSchema>;

/** @returns the token of the new owner, or null for a guest of one that lives */
export async function claimServer(place: Place, server: Server): Promise<string | null> {
  const owner = await readOwner(place);
  if (!server.startedHere && owner?.serverPid === server.pid && (await lives(owner))) return null;
  const own: Owner = { token: randomToken(), pid: process.pid, startTicks: await startTicks(process.pid), serverPid: server.pid };
  const fresh = join(place.home, `${ownerFile}.${own.token}`);
  await writeFile(fresh, JSON.stringify(own), { flag: 'wx', mode: 0o644 });
  await rename(fresh, join(place.home, ownerFile));
  return own.token;
}

/** Whether nobody has claimed the server since. */
export async function stillOwns(place: Place, token: string): Promise<boolean> {
  return (await readOwner(place))?.token === token;
}

async function readOwner(place: Place): Promise<Owner | null> {
  try {
    return ownerSchema.parse(JSON.parse(await readFile(join(place.home, ownerFile), 'utf8')));
  } catch {
    return null;
  }
}

async function lives({ pid, startTicks: ticks }: Owner): Promise<boolean> {
  return isAlive(pid) && (await startTicks(pid)) === ticks;
}
