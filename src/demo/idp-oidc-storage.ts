import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';

interface Stored {
  readonly payload: AdapterPayload;
  readonly expiresAt: number;
}

const maxEntries = 10_000;
const defaultSeconds = 600;

/**
 * Storage of one identity provider, in memory; the library's own is shared by the whole process. Clients come from `findClient`. Sessions
 * are not kept: each request asks again who is there.
 */
export function createMemoryAdapters(options: {
  readonly findClient: (clientId: string) => AdapterPayload | undefined;
  readonly now: () => Date;
}): AdapterFactory {
  const entries = new Map<string, Stored>();
  return (model) => {
    if (model === 'Client') return { ...keepNothing, find: async (clientId) => options.findClient(clientId) };
    if (model === 'Session') return keepNothing;
    return createAdapter({ entries, model, now: options.now });
  };
}

// Oldest first out: a Map keeps the order in which its keys came.
function createAdapter({ entries, model, now }: { entries: Map<string, Stored>; model: string; now: () => Date }): Adapter {
  const keyOf = (id: string) => `${model}:${id}`;
  return {
    ...keepNothing,
    upsert: async (id, payload, expiresInSeconds) => {
      entries.set(keyOf(id), { payload, expiresAt: now().getTime() + (expiresInSeconds ?? defaultSeconds) * 1000 });
      for (const key of entries.keys()) {
        if (entries.size <= maxEntries) break;
        entries.delete(key);
      }
    },
    find: async (id) => {
      const stored = entries.get(keyOf(id));
      return stored !== undefined && stored.expiresAt > now().getTime() ? stored.payload : undefined;
    },
    consume: async (id) => {
      const stored = entries.get(keyOf(id));
      if (stored !== undefined) stored.payload.consumed = Math.floor(now().getTime() / 1000);
    },
    destroy: async (id) => {
      entries.delete(keyOf(id));
    },
    revokeByGrantId: async (grantId) => {
      for (const [key, { payload }] of entries) if (payload.grantId === grantId) entries.delete(key);
    },
  };
}

const nothing = async () => undefined;

const keepNothing: Adapter = {
  upsert: nothing,
  find: nothing,
  findByUid: nothing,
  findByUserCode: nothing,
  consume: nothing,
  destroy: nothing,
  revokeByGrantId: nothing,
};
