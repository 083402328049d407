import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { BrokerError } from '../domain/broker-error.ts';
import type { ExpiringStore } from '../infra/expiring-store.ts';
import { randomToken } from '../infra/unique-id.ts';

/** What the IdP's answer must match: made when the browser was sent there. */
const expectationSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('saml'), requestId: z.string() }),
  z.object({ type: z.literal('oidc'), nonce: z.string(), codeVerifier: z.string(), issuer: z.string() }),
]);
export type Expectation = z.infer<typeof expectationSchema>;

const pendingLoginSchema = z.object({
  interactionUid: z.string(),
  connectionId: z.string(),
  /** SHA-256 of the cookie that only the browser which started the login has. */
  browserHash: z.string(),
  expectation: expectationSchema,
});
export type PendingLogin = z.infer<typeof pendingLoginSchema>;

/** How a login ended, for the app: read once by the page that returns to it. */
const outcomeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('signed_in'),
    userId: z.string(),
    connectionId: z.string(),
    loginId: z.string(),
    authenticatedAt: z.coerce.date(),
  }),
  z.object({ kind: z.literal('refused'), code: z.string(), reason: z.string().nullable(), loginId: z.string() }),
]);
export type LoginOutcome = z.infer<typeof outcomeSchema>;

export type PendingLoginStore = ReturnType<typeof createPendingLoginStore>;

/** Pending logins (RelayState, `state`) and outcomes: short-lived, single use, bound to the browser that started them. */
export function createPendingLoginStore(deps: { readonly store: ExpiringStore; readonly pendingLoginSeconds: number }) {
  const { store, pendingLoginSeconds } = deps;
  return {
    /** A new id, unguessable, fit for RelayState (SAML Bindings 3.4.3: at most 80 bytes) and `state`; and the browser's cookie value. */
    newId: () => ({ pendingId: randomToken(), browserToken: randomToken() }),

    save(pendingId: string, login: Omit<PendingLogin, 'browserHash'>, browserToken: string): Promise<void> {
      const value: PendingLogin = { ...login, browserHash: hash(browserToken) };
      return store.set(pendingKey(pendingId), JSON.stringify(value), pendingLoginSeconds);
    },

    /**
     * Reads without consuming: an answer that does not verify must not burn the real user's login (law 4).
     * @throws BrokerError `login_expired` if there is none, or the browser is not the one that started it
     */
    async peek(pendingId: string, connectionId: string, browserToken: string | undefined): Promise<PendingLogin> {
      const value = isToken(pendingId) ? await store.get(pendingKey(pendingId)) : null;
      if (value === null)
        throw new BrokerError('login_expired', 'no login is waiting for this answer', { reason: 'unknown_login' });
      const login = pendingLoginSchema.parse(JSON.parse(value));
      if (login.connectionId !== connectionId) {
        throw new BrokerError('login_expired', 'the login was started with another connection', { reason: 'other_connection' });
      }
      if (browserToken === undefined || !sameHash(login.browserHash, hash(browserToken))) {
        throw new BrokerError(
          'login_expired',
          'the answer came by another browser than the one that started the login, or without its cookie',
          {
            reason: 'other_browser',
          },
        );
      }
      return login;
    },

    /** Single use: of two answers to one login only the first gets through. */
    async consume(pendingId: string): Promise<void> {
      if ((await store.take(pendingKey(pendingId))) !== null) return;
      throw new BrokerError('login_expired', 'this login was already completed', { reason: 'already_completed' });
    },

    /** A refusal never displaces a success: the same answer may come twice, and its second copy be refused after the first signed in. */
    saveOutcome(interactionUid: string, outcome: LoginOutcome): Promise<void> {
      const key = outcome.kind === 'signed_in' ? outcomeKey(interactionUid) : refusalKey(interactionUid);
      return store.set(key, JSON.stringify(outcome), pendingLoginSeconds);
    },

    async takeOutcome(interactionUid: string): Promise<LoginOutcome | null> {
      const value = (await store.take(outcomeKey(interactionUid))) ?? (await store.take(refusalKey(interactionUid)));
      return value === null ? null : outcomeSchema.parse(JSON.parse(value));
    },
  };
}

const pendingKey = (pendingId: string) => `pending:${pendingId}`;
const outcomeKey = (interactionUid: string) => `outcome:${interactionUid}`;
const refusalKey = (interactionUid: string) => `refusal:${interactionUid}`;

function isToken(value: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(value);
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

function sameHash(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
