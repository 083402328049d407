import { expect } from 'vitest';
import { type BrokerErrorCode, errorFaces } from '../../src/domain/broker-error.ts';
import type { Database } from '../../src/infra/postgres.ts';
import type { EventBody, TraceBody } from './broker-api.ts';
import { appCallback } from './broker-app.ts';
import type { Visit } from './broker-browser.ts';
import type { BegunLogin } from './broker-login.ts';
import type { BrokerWorld } from './broker-world.ts';
import { unescapeHtml } from './http-browser.ts';

export interface ErrorPage {
  readonly title: string;
  readonly advice: string;
  /** Finds the line in the log and, for an answer of an IdP, the login's trace. */
  readonly reference: string;
  /** Where "Back to the application" leads; null: there is no such button. */
  readonly back: string | null;
}

export interface ExpectedRefusal {
  readonly code: BrokerErrorCode;
  readonly reason?: string;
  /** Whether the reference is a login's and finds its trace. */
  readonly traced: boolean;
  /** Whether the page has the button that tells the app; default: as `traced`. */
  readonly back?: boolean;
}

export interface Refusal extends ErrorPage {
  readonly visit: Visit;
  readonly trace: TraceBody | null;
}

/** Carries out what must be refused, and checks the page, its reference in log and trace, and that nothing was stored. */
export async function expectRefusal(world: BrokerWorld, act: () => Promise<Visit>, expected: ExpectedRefusal): Promise<Refusal> {
  const before = await storedState(world.stores.db);
  const visit = await act();
  const refusal = await expectErrorPage(world, visit, expected);
  expect(await storedState(world.stores.db), 'stored state').toEqual(before);
  return refusal;
}

/** The same for a visit that was made, where what is stored is checked otherwise. */
export async function expectErrorPage(world: BrokerWorld, visit: Visit, expected: ExpectedRefusal): Promise<Refusal> {
  const { code, reason, traced, back = traced } = expected;
  const { status, title, advice } = errorFaces[code];
  const page = errorPageIn(visit);
  expect({ title: page.title, advice: page.advice, status: visit.status }).toEqual({ title, advice, status });
  expect(visit.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(visit.headers.get('cache-control')).toBe('no-store');
  expect(page.reference).toMatch(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
  expect(page.back !== null, 'a way back to the app').toBe(back);

  const lines = world.lines.filter(({ loginId, requestId }) => loginId === page.reference || requestId === page.reference);
  const telling = lines.filter((line) => line.code === code);
  expect(telling.length, `a log line with the code ${code} and the reference`).toBeGreaterThan(0);
  expect(
    telling.some(({ level }) => level !== 'debug' && level !== 'trace'),
    'at the default level',
  ).toBe(true);
  if (reason !== undefined) expect(telling.map((line) => line.reason)).toContain(reason);

  const trace = await world.api.trace(page.reference);
  expect(trace !== null, 'a trace').toBe(traced);
  if (trace) expect(trace).toMatchObject({ outcome: code, ...(reason !== undefined && { reason }) });
  return { ...page, visit, trace };
}

/** "Back to the application": what the app is told, and that the description carries the page's reference. */
export async function tellApp(world: BrokerWorld, { browser, request }: BegunLogin, refusal: Refusal): Promise<string | null> {
  const visit = await browser.open(new URL(refusal.back ?? '', world.publicUrl).href, { from: world.publicUrl });
  expect(visit.leadsTo?.startsWith(appCallback), `on to the app, not ${visit.leadsTo ?? visit.text}`).toBe(true);
  const parameters = new URL(visit.leadsTo ?? '').searchParams;
  expect(parameters.get('state')).toBe(request.state);
  expect(parameters.get('iss')).toBe(`${world.publicUrl}/oidc`);
  expect(parameters.get('code')).toBeNull();
  expect(parameters.get('error_description')).toContain(refusal.reference);
  return parameters.get('error');
}

export function errorPageIn({ text, status }: Visit): ErrorPage {
  const find = (pattern: RegExp) => {
    const found = pattern.exec(text)?.[1];
    return found === undefined ? null : unescapeHtml(found);
  };
  const title = find(/<h1>([^<]*)<\/h1>/);
  const reference = find(/<dt>Reference<\/dt><dd>([^<]*)<\/dd>/);
  if (title === null || reference === null) throw new Error(`this is no error page (status ${status}): ${text.slice(0, 500)}`);
  return {
    title,
    reference,
    advice: find(/<\/h1>\s*<p>([^<]*)<\/p>/) ?? '',
    back: find(/href="([^"]+)">Back to the application</),
  };
}

/** The trace of a user's last login, however it ended. */
export async function latestTrace(world: BrokerWorld, userId: string): Promise<TraceBody> {
  const row = await world.stores.db('login_traces').where({ user_id: userId }).orderBy('occurred_at', 'desc').first('login_id');
  const trace = row === undefined ? null : await world.api.trace(row.login_id);
  if (!trace) throw new Error(`user ${userId} has no trace`);
  return trace;
}

/**
 * A user's events in the order of the log, as committed. The API shows them once no older transaction of the whole server is open, and
 * other tests run on it too.
 */
export async function eventsOf(world: BrokerWorld, userId: string): Promise<readonly EventBody[]> {
  const { rows } = await world.stores.db.raw<{ rows: { payload: EventBody }[] }>(
    'SELECT payload FROM events WHERE user_id = ? ORDER BY position',
    [userId],
  );
  return rows.map(({ payload }) => payload);
}

/** How the trace says that each workspace read the groups. */
export function groupsIn({ detail }: TraceBody): unknown[] {
  return (detail.workspaces ?? []).map(({ groups }) => groups);
}

const lasting = ['users', 'identities', 'memberships', 'events', 'used_answers', 'app_groups', 'connections'];

/** Everything that a login may change for good, but its trace; what the delivery worker notes about events aside. */
export async function storedState(db: Database): Promise<Readonly<Record<string, unknown>>> {
  const parts = lasting.map(
    (table) =>
      `(SELECT coalesce(jsonb_agg(to_jsonb(t) - 'fanned_out' ORDER BY (to_jsonb(t) - 'fanned_out')::text), '[]') FROM ${table} t) AS ${table}`,
  );
  const { rows } = await db.raw<{ rows: Record<string, unknown>[] }>(`SELECT ${parts.join(', ')}`);
  return rows[0] ?? {};
}
