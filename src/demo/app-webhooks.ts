import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { createMemberCopy, type MemberCopy } from './app-member-copy.ts';
import { readMembershipEvent } from './app-membership-event.ts';

/** An event whose signature was verified, and what the app made of it. */
export interface ReceivedWebhook {
  /** The `webhook-id`: the same for every copy. */
  readonly id: string;
  readonly type: string;
  readonly receivedAt: Date;
  /** More than 1: copies came, and were recognised. */
  readonly copies: number;
  /** `outdated`: the app already knows a newer version of that member. `noted`: nothing to apply. */
  readonly effect: 'applied' | 'outdated' | 'noted';
  readonly subject: string | null;
  readonly workspace: string | null;
  readonly version: number | null;
  readonly change: Change | null;
  /** For `sync.held`: why access stayed as it was. */
  readonly heldBecause: string | null;
}

export interface Change {
  readonly roleBefore: string | null;
  readonly roleAfter: string;
  readonly groupsAdded: readonly string[];
  readonly groupsRemoved: readonly string[];
}

export interface WebhookInbox {
  /** `refused`: the signature is wrong or missing, or too old; nothing of the body is kept. */
  receive(headers: Readonly<Record<string, string>>, body: Buffer): 'accepted' | 'duplicate' | 'refused';
  /** Newest first. */
  received(): readonly ReceivedWebhook[];
  refusals(): { readonly count: number; readonly lastAt: Date | null };
  /** Returns how to stop listening. */
  onChange(listener: () => void): () => void;
}

const named = z.array(z.object({ name: z.string() })).catch([]);
const text = z.string().nullish().catch(null);

const eventSchema = z.object({
  type: z.string(),
  data: z.object({
    workspace: z.object({ id: z.string(), slug: z.string() }).nullish().catch(null),
    user: z.object({ id: z.string(), name: text, email: text }).nullish().catch(null),
    role: text,
    groups: named,
    version: z.coerce.number().nullish().catch(null),
    previous: z.object({ role: z.string() }).nullish().catch(null),
    added: named,
    removed: named,
    detail: text,
  }),
});
type Event = z.infer<typeof eventSchema>;
const unknownEvent: Event = { type: 'unknown', data: { groups: [], added: [], removed: [] } };

/**
 * Receives webhooks after the Standard Webhooks specification: the third-party package `standardwebhooks` verifies the raw body, copies are
 * recognised by `webhook-id`, and an older version of a member never replaces a newer one in the copy.
 * @param secret `whsec_…`
 */
export function createWebhookInbox({
  secret,
  copy = createMemberCopy(),
  now,
  maxEntries = 100,
}: {
  secret: string;
  copy?: MemberCopy;
  now: () => Date;
  maxEntries?: number;
}): WebhookInbox {
  const webhook = new Webhook(secret);
  const byId = new Map<string, ReceivedWebhook>();
  const listeners = new Set<() => void>();
  let refusals: { count: number; lastAt: Date | null } = { count: 0, lastAt: null };

  const changed = <Outcome>(outcome: Outcome): Outcome => {
    for (const listener of listeners) listener();
    return outcome;
  };
  const refuse = () => {
    refusals = { count: refusals.count + 1, lastAt: now() };
    return changed('refused' as const);
  };

  return {
    receive: (headers, body) => {
      const event = verify(webhook, headers, body);
      const id = headers['webhook-id'];
      if (event === undefined || id === undefined) return refuse();
      const known = byId.get(id);
      if (known !== undefined) {
        byId.set(id, { ...known, copies: known.copies + 1 });
        return changed('duplicate');
      }
      byId.set(id, { id, receivedAt: now(), copies: 1, effect: apply(copy, event), ...describe(readEvent(event)) });
      for (const oldest of byId.keys()) {
        if (byId.size <= maxEntries) break;
        byId.delete(oldest);
      }
      return changed('accepted');
    },
    received: () => [...byId.values()].reverse(),
    refusals: () => refusals,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function verify(webhook: Webhook, headers: Readonly<Record<string, string>>, body: Buffer): unknown {
  try {
    return webhook.verify(body, { ...headers });
  } catch {
    // A wrong or missing signature, or a time too far from now.
    return undefined;
  }
}

/** A signed event in a shape that this app does not know is Rollcall's all the same: refusing it would only bring it back. */
function readEvent(event: unknown): Event {
  return eventSchema.catch(unknownEvent).parse(event);
}

function apply(copy: MemberCopy, event: unknown): ReceivedWebhook['effect'] {
  const deleted = deletedUser.safeParse(event).data;
  if (deleted) copy.forgetUser(deleted.data.user.id);
  const read = readMembershipEvent(event);
  if (read === null) return deleted ? 'applied' : 'noted';
  return copy.apply(read.workspaceId, read.member) ? 'applied' : 'outdated';
}

const deletedUser = z.object({ type: z.literal('user.deleted'), data: z.object({ user: z.object({ id: z.string() }) }) });

function describe({ type, data }: Event) {
  const { workspace, user, version, role, previous, added, removed, detail } = data;
  return {
    type,
    subject: user?.name ?? user?.email ?? user?.id ?? null,
    workspace: workspace?.slug ?? null,
    version: version ?? null,
    heldBecause: type === 'sync.held' ? (detail ?? null) : null,
    change: role
      ? {
          roleBefore: previous?.role ?? null,
          roleAfter: role,
          groupsAdded: added.map(({ name }) => name),
          groupsRemoved: removed.map(({ name }) => name),
        }
      : null,
  };
}
