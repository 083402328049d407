import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultWorld } from '../support/fault-world.ts';

/** An app that reads `GET /v1/events` by cursor while everything around it fails. */
export interface LogFollower {
  /** In the order in which they came: the ids of all pages of one walk. */
  readonly ids: readonly string[];
  /** Reads on to the end of the log, then ends. */
  finish(): Promise<void>;
}

const pauseMilliseconds = 150;

export function followLog(world: FaultWorld): LogFollower {
  const ids: string[] = [];
  let cursor: string | null = null;
  let finishing = false;

  async function readPage(): Promise<number> {
    const page = JSON.parse(await world.readApi(`/v1/events?limit=50${cursor === null ? '' : `&after=${cursor}`}`)) as {
      data: { id: string }[];
      next_cursor: string | null;
    };
    ids.push(...page.data.map(({ id }) => id));
    cursor = page.next_cursor;
    return page.data.length;
  }

  async function follow(): Promise<void> {
    while (!finishing) {
      // A server that is away answers nothing, or an error: the cursor stays, and is good at any other server.
      await readPage().catch(() => undefined);
      await sleep(pauseMilliseconds);
    }
    while ((await readPage()) > 0);
  }

  const following = follow();
  return {
    ids,
    finish() {
      finishing = true;
      return following;
    },
  };
}
