import { type ConfirmedCache, createConfirmedCache } from '../infra/confirmed-cache.ts';
import type { Log } from '../infra/log.ts';
import type { Notifications } from '../infra/notifications.ts';
import type { Database } from '../infra/postgres.ts';
import type { RedisClient } from '../infra/redis.ts';
import { createRedisMessages } from '../infra/redis-messages.ts';
import { createRevisionFeed, type Revised } from '../infra/revision-feed.ts';
import type { SealedBox } from '../infra/sealed-box.ts';
import { createSharedTexts } from '../infra/shared-texts.ts';
import { type CacheLevel, createVersionedCache, type VersionedCache } from '../infra/versioned-cache.ts';
import type { ConnectionChoice, LoginHints } from './connection-candidates.ts';
import type { LoginConnectionRow } from './connection-rows.ts';
import {
  createNewsFilter,
  parseRevisionMessage,
  type RevisedKind,
  readRevised,
  revisionChannel,
  revisionMessage,
} from './revisions.ts';
import { type ConnectionContext, compiledCatalogue, compiledConnection } from './sync-context.ts';
import {
  type CatalogueDocument,
  isCatalogueDocument,
  isConnectionDocument,
  readCatalogueText,
  readConnectionText,
  textNames,
} from './sync-texts.ts';

export interface SyncCacheLimits {
  /** No login goes by anything older. */
  readonly maxStaleSeconds: number;
  /** Of connections, of catalogues, and of choices between connections, each. */
  readonly maxEntries: number;
  /** Connections and catalogues together, about. */
  readonly maxMebibytes: number;
}

export interface SyncCaches {
  readonly connections: VersionedCache<ConnectionContext>;
  readonly catalogues: VersionedCache<ReturnType<typeof compiledCatalogue>>;
  readonly candidates: ConfirmedCache<readonly ConnectionChoice[]>;
  /** After a change that this process made: forgets here at once, and tells the other replicas. */
  changed(kind: RevisedKind, id: string): void;
  start(): void;
  stop(): Promise<void>;
}

/**
 * The caches of what logins go by, and the three ways by which they hear of changes: NOTIFY and Redis at once, the feed within the time
 * that they may be stale, whatever became of the messages.
 */
export function createSyncCaches(deps: {
  readonly db: Database;
  readonly redis: RedisClient | null;
  readonly notifications: Pick<Notifications, 'listen'>;
  readonly sealedBox: SealedBox;
  readonly loadCandidates: (hints: LoginHints) => Promise<readonly ConnectionChoice[]>;
  readonly limits: SyncCacheLimits;
  /** What else is kept of a connection is to be forgotten. */
  readonly onConnectionRevised: (connectionId: string) => void;
  readonly onLookup: (cache: 'connection' | 'catalogue' | 'candidates', level: CacheLevel) => void;
  readonly log: Log;
}): SyncCaches {
  const { db, redis, sealedBox, limits, onLookup, log } = deps;
  const { maxEntries } = limits;
  const maxBytes = (limits.maxMebibytes * 1024 * 1024) / 2;
  const isNews = createNewsFilter();

  const feed = createRevisionFeed<RevisedKind>({
    read: (since) => readRevised(db, since),
    onRevised: hear,
    onGap: clear,
    maxStaleMilliseconds: limits.maxStaleSeconds * 1_000,
    log,
  });
  const sharedTexts = (name: string) => (redis === null ? null : createSharedTexts({ redis, name, sealedBox, log }));
  const connections = createVersionedCache<ConnectionContext>({
    feed,
    maxEntries,
    maxBytes,
    read: (id, known) => readConnectionText(db, id, known),
    shared: sharedTexts(textNames.connection),
    accepts: isConnectionDocument,
    compile: (document) => compiledConnection(document as LoginConnectionRow),
    onLookup: (level) => onLookup('connection', level),
  });
  const catalogues = createVersionedCache({
    feed,
    maxEntries,
    maxBytes,
    read: (id, known) => readCatalogueText(db, id, known),
    shared: sharedTexts(textNames.catalogue),
    accepts: isCatalogueDocument,
    compile: (document) => compiledCatalogue(document as CatalogueDocument),
    onLookup: (level) => onLookup('catalogue', level),
  });
  const candidates = createConfirmedCache<readonly ConnectionChoice[]>({
    feed,
    maxEntries,
    load: (hints) => {
      onLookup('candidates', 'postgres');
      return deps.loadCandidates(JSON.parse(hints) as LoginHints);
    },
    // Anybody can ask for workspaces that do not exist.
    keep: (found) => found.length > 0,
    onHit: () => onLookup('candidates', 'process'),
  });

  function hear(revised: Revised<RevisedKind>): void {
    if (isNews(revised)) forget(revised);
  }

  function forget({ kind, id, revision }: Revised<RevisedKind>): void {
    if (kind === 'catalogue') {
      catalogues.forget(id, revision);
      return;
    }
    connections.forget(id, revision);
    // Which choices it stands in is not known: they are small, and connections change seldom.
    candidates.clear();
    deps.onConnectionRevised(id);
  }

  function clear(): void {
    for (const id of [...connections.ids()]) deps.onConnectionRevised(id);
    connections.clear();
    catalogues.clear();
    candidates.clear();
  }

  function hearMessage(message: string): void {
    const revised = parseRevisionMessage(message);
    if (revised) hear(revised);
  }

  /** Messages may have been lost. What cannot be looked up now, the feed looks up again. */
  function catchUp(): void {
    feed.check().catch(() => {});
  }

  deps.notifications.listen(revisionChannel, hearMessage, catchUp);
  const messages =
    redis && createRedisMessages({ redis, channel: revisionChannel, onMessage: hearMessage, onReconnect: catchUp, log });

  return {
    connections,
    catalogues,
    candidates,
    changed(kind, id) {
      const revised = { kind, id, revision: null };
      forget(revised);
      messages?.publish(revisionMessage(revised));
    },
    start() {
      feed.start();
      messages?.start();
    },
    async stop() {
      messages?.stop();
      await feed.stop();
    },
  };
}
