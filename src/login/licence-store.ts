import { BrokerError } from '../domain/broker-error.ts';
import { type LicenceState, type LicenceStatus, licenceRefusal, licenceStatus, seatLimit } from '../domain/licence.ts';
import type { WebhookEvent } from '../domain/webhook-event.ts';
import type { LicenceReader } from '../infra/licence-token.ts';
import type { Log } from '../infra/log.ts';
import type { Database, Transaction } from '../infra/postgres.ts';
import { countActiveUsers } from '../membership/seats.ts';
import { type ConfiguredLicence, digestOf, type FoundLicence, findLicence, licenceView, stateOf } from './licence-source.ts';

/** Half of the time in which a change counts everywhere; a lost notice could not delay it, for there is none. */
const pollMilliseconds = 1_000;
const announceLimitEveryMilliseconds = 24 * 60 * 60 * 1_000;
const orderKey = 'licence';

export type LicenceStore = ReturnType<typeof createLicenceStore>;

/** The licence in force (R34): read from Postgres and the settings, kept in this process, and looked up anew every second. */
export function createLicenceStore(deps: {
  readonly db: Database;
  readonly reader: LicenceReader;
  readonly configured: ConfiguredLicence;
  readonly appendEvents: (tx: Transaction, events: readonly WebhookEvent[], options: { now: Date }) => Promise<unknown>;
  readonly log: Log;
  readonly now: () => Date;
}) {
  const { db, reader, configured, log, now } = deps;
  let state: LicenceState = reader.required ? { kind: 'missing' } : { kind: 'not_required' };
  /** Digest that `state` was made from; undefined: nothing was read yet. */
  let seen: string | null | undefined;
  let seenStatus: LicenceStatus | undefined;
  let timer: NodeJS.Timeout | undefined;
  let polling: Promise<void> = Promise.resolve();
  let queue: Promise<unknown> = Promise.resolve();
  let failing = false;

  /** One after the other: an older reading must not overwrite a newer one. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = queue.then(work);
    queue = result.catch(() => {});
    return result;
  }

  async function read(): Promise<{ readonly found: FoundLicence; readonly changed: boolean }> {
    const row = await db('licence').first<{ token: string | null } | undefined>('token');
    const found = await findLicence(row?.token ?? null, configured);
    const digest = `${found?.source ?? ''} ${digestOf(found)}`;
    if (digest !== seen) state = await evaluate(found);
    // A licence also ends by itself, with the time.
    const status = licenceStatus(state, now());
    const changed = digest !== seen || status !== seenStatus;
    seen = digest;
    seenStatus = status;
    return { found, changed };
  }

  async function evaluate(found: FoundLicence): Promise<LicenceState> {
    return reader.required ? stateOf(found, reader.read) : { kind: 'not_required' };
  }

  async function appendChanged(tx: Transaction, found: FoundLicence, next: LicenceState): Promise<void> {
    const { rows } = await tx.raw<{ rows: unknown[] }>(
      'UPDATE licence SET announced_digest = :digest WHERE announced_digest IS DISTINCT FROM :digest RETURNING 1',
      { digest: licenceStatus(next, now()) === 'expired' ? `${digestOf(found)} expired` : digestOf(found) },
    );
    if (rows.length === 0) return;
    const data = { licence: licenceView(next, now()) };
    const event = { type: 'licence.changed', workspaceId: null, userId: null, orderKey, occurredAt: now(), data } as const;
    await deps.appendEvents(tx, [event], { now: now() });
  }

  /** Writes the API's licence, tells of it, and takes it over at once; the other replicas follow within a second. */
  async function write(token: string | null): Promise<void> {
    await inTurn(async () => {
      const found = await findLicence(token, configured);
      const next = await evaluate(found);
      await db.transaction(async (tx) => {
        await tx('licence').update({ token, updated_at: now() });
        await appendChanged(tx, found, next);
      });
      await read();
    });
  }

  async function poll(): Promise<void> {
    try {
      await refresh({ announce: true });
      failing = false;
    } catch (error) {
      if (!failing) log.warn({ err: error }, 'the licence cannot be looked up; the last known one stays in force');
      failing = true;
    }
  }

  /** @param announce tells of a licence that the settings brought; for processes that serve */
  function refresh({ announce }: { readonly announce: boolean }): Promise<void> {
    return inTurn(async () => {
      if (!reader.required) return;
      const { found, changed } = await read();
      if (changed && announce) await db.transaction((tx) => appendChanged(tx, found, state));
      if (changed) log.info({ status: licenceStatus(state, now()), source: found?.source ?? null }, 'licence in force');
    });
  }

  return {
    current: (): LicenceState => state,
    /** R35. */
    refusal: (): BrokerError | null => licenceRefusal(state, now()),
    /** R36. */
    seatLimit: (): number | null => seatLimit(state),
    view: () => licenceView(state, now()),
    countUsers: () => countActiveUsers(db),
    refresh,

    /** @throws BrokerError `validation_failed` for a token that is none or past its end, `conflict` where no keys are configured */
    async set(given: string): Promise<void> {
      const token = given.trim();
      if (!reader.required) {
        throw new BrokerError('conflict', 'no licence keys are configured: everything is allowed without a licence', {
          reason: 'licence_not_required',
        });
      }
      const licence = await reader.read(token).catch((error: unknown) => {
        throw error instanceof BrokerError ? atToken(error.message, error.reason) : error;
      });
      if (licence.expiresAt <= now()) throw atToken('the licence is past its end', 'licence_expired');
      await write(token);
    },

    /** Back to what the settings say. */
    clear: (): Promise<void> => write(null),

    /** Tells once a day, and anew for another limit, that somebody was refused for want of a seat. */
    async announceLimit(): Promise<void> {
      const maxUsers = seatLimit(state);
      if (maxUsers === null) return;
      await db.transaction(async (tx) => {
        const { rows } = await tx.raw<{ rows: unknown[] }>(
          `UPDATE licence SET limit_announced = :maxUsers, limit_announced_at = :now
            WHERE limit_announced IS DISTINCT FROM :maxUsers OR limit_announced_at <= :before RETURNING 1`,
          { maxUsers, now: now(), before: new Date(now().getTime() - announceLimitEveryMilliseconds) },
        );
        if (rows.length === 0) return;
        const data = { max_users: maxUsers, active_users: await countActiveUsers(tx) };
        const event = {
          type: 'licence.limit_reached',
          workspaceId: null,
          userId: null,
          orderKey,
          occurredAt: now(),
          data,
        } as const;
        await deps.appendEvents(tx, [event], { now: now() });
      });
    },

    start(): void {
      const again = () => {
        polling = poll().then(() => {
          if (timer) timer = setTimeout(again, pollMilliseconds).unref();
        });
      };
      timer = setTimeout(again, pollMilliseconds).unref();
    },
    async stop(): Promise<void> {
      clearTimeout(timer);
      timer = undefined;
      await polling;
    },
  };
}

function atToken(message: string, reason: string | undefined): BrokerError {
  return new BrokerError('validation_failed', message, {
    ...(reason !== undefined && { reason }),
    fields: [{ path: 'token', message }],
  });
}
