import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createDemoApp, type DemoApp } from '../../../src/demo/app.ts';
import { createMemberCopy, type MemberCopy } from '../../../src/demo/app-member-copy.ts';
import { readMembershipEvent } from '../../../src/demo/app-membership-event.ts';
import { createReconciler } from '../../../src/demo/app-reconcile.ts';
import { createMemberSource } from '../../../src/demo/app-rollcall-api.ts';
import { readSnapshot } from '../../../src/demo/app-snapshot.ts';
import type { TestWorkspace } from '../../support/broker-api.ts';
import { connectSaml } from '../../support/broker-connections.ts';
import { logInBySaml, type SamlConnection } from '../../support/broker-login.ts';
import { createSamlIdp } from '../../support/broker-saml-idp.ts';
import { type BrokerWorld, bootstrapApiKey, startBrokerWorld } from '../../support/broker-world.ts';

let world: BrokerWorld;
let app: DemoApp;
let acme: TestWorkspace;
let saml: SamlConnection;
let endpointId: string;
let source: ReturnType<typeof createMemberSource>;

beforeAll(async () => {
  world = await startBrokerWorld({ settings: { delivery: { enabled: true, pollSeconds: 1 } } });
  const idp = await createSamlIdp({ entityId: 'https://idp.customer.example/metadata', origin: 'http://127.0.0.1:9' });
  acme = await world.api.workspace('acme', { design: null, platform: 'builder', sales: null });
  saml = await connectSaml(world, idp, { workspace: 'acme' });
  const webhookSecret = `whsec_${randomBytes(32).toString('base64')}`;
  const rollcallApi = { url: world.publicUrl, apiKey: bootstrapApiKey };
  const issuer = `${world.publicUrl}/oidc`;
  app = await createDemoApp({ issuer, clientId: 'app', clientSecret: 'none', webhookSecret, rollcallApi, host: '127.0.0.1' });
  const endpoint = { url: app.webhookUrl, secret: webhookSecret };
  ({ endpoint_id: endpointId } = await world.api.post<{ endpoint_id: string }>('/v1/endpoints', endpoint));
  source = createMemberSource(rollcallApi);
});
afterAll(async () => {
  await app?.close();
  await world?.stop();
});

const groups = ['design', 'platform', 'sales', 'admin'];
const logIn = (person: number, turn: number) =>
  logInBySaml(world, saml, {
    nameId: `person-${person}`,
    email: `person-${person}@customer.example`,
    groups: groups.filter((_, at) => (person + turn) % (at + 2) === 0),
  });

/** As the API shows members and as the copy has them. */
async function members(): Promise<string[]> {
  interface MemberBody {
    readonly user: { readonly id: string };
    readonly role: string;
    readonly status: string;
    readonly version: number;
    readonly groups: readonly { readonly name: string }[];
  }
  const { data } = await world.api.get<{ data: MemberBody[] }>(`/v1/workspaces/${acme.id}/members?limit=200`);
  return data.map((body) => text({ ...body, userId: body.user.id, active: body.status === 'active' })).sort();
}
const copied = (copy: MemberCopy) => copy.members(acme.id).map(text).sort();

function text(member: { userId: string; role: string; active: boolean; version: number; groups: readonly { name: string }[] }) {
  const names = member.groups.map(({ name }) => name).sort();
  return [member.userId, member.version, member.active, member.role, ...names].join(' ');
}

async function untilInStep(): Promise<void> {
  await vi.waitFor(async () => expect((await app.reconciler.check(acme.id)).inStep).toBe(true), 15_000);
}

describe('R40 the copy of an app', () => {
  test('that only webhooks write is what Rollcall has, and both have the same digest', async () => {
    for (const turn of [0, 1, 2]) await Promise.all([1, 2, 3, 4, 5].map((person) => logIn(person, turn)));
    const { sub } = await logIn(6, 0);
    await world.api.delete(`/v1/workspaces/${acme.id}/members/${sub}`);
    await untilInStep();
    expect(copied(app.copy)).toEqual(await members());
    expect(app.copy.member(acme.id, sub)?.active).toBe(false);
    expect(app.copy.digest(acme.id).count).toBe(5);
    expect(await source.digest(acme.id)).toMatchObject(app.copy.digest(acme.id));
  });

  test('that missed events is found to differ, and is made anew from snapshot and log', async () => {
    await world.api.patch(`/v1/endpoints/${endpointId}`, { enabled: false });
    await logIn(7, 0);
    const { sub } = await logIn(2, 4);
    await world.api.patch(`/v1/endpoints/${endpointId}`, { enabled: true });
    await logIn(3, 5);
    await vi.waitFor(async () => expect((await world.api.events()).length).toBeGreaterThan(10), 10_000);
    const found = await app.reconciler.check(acme.id);
    expect([found.inStep, found.own.count, found.rollcall.count]).toEqual([false, 5, 6]);

    expect(await app.reconciler.reconcile(acme.id)).toMatchObject({ inStep: true, own: { count: 6 } });
    expect(copied(app.copy)).toEqual(await members());
    expect(app.copy.member(acme.id, sub)?.version).toBe((await world.api.explain(acme.id, sub)).version);
    await logIn(1, 6);
    await untilInStep();
  });

  test('that has a row of its own making, or versions that Rollcall lost in a restore, is brought back', async () => {
    const [row] = app.copy.members(acme.id);
    if (!row) throw new Error('the copy is empty');
    app.copy.spoil(acme.id);
    expect((await app.reconciler.check(acme.id)).inStep).toBe(false);
    expect((await app.reconciler.reconcile(acme.id)).inStep).toBe(true);
    app.copy.apply(acme.id, { ...row, version: 99, role: 'admin' });
    app.copy.apply(acme.id, { ...row, userId: '018f0000-0000-7000-8000-00000000dead', version: 1 });
    expect((await app.reconciler.check(acme.id)).inStep).toBe(false);
    expect((await app.reconciler.reconcile(acme.id)).inStep).toBe(true);
    expect(copied(app.copy)).toEqual(await members());
  });

  test('whose snapshot cannot be read stays as it was', async () => {
    const before = copied(app.copy);
    const broken = createReconciler({
      copy: app.copy,
      source: { ...source, snapshot: async (workspaceId) => cut(await source.snapshot(workspaceId)) },
    });
    await expect(broken.reconcile(acme.id)).rejects.toThrow('broke off');
    expect(copied(app.copy)).toEqual(before);
    await untilInStep();
  });

  test('made from a snapshot amid logins equals what Rollcall has once the log was read from the cursor on', {
    timeout: 60_000,
  }, async () => {
    let over = false;
    const logins = (async () => {
      for (let turn = 0; turn < 12; turn += 1) await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((person) => logIn(person, turn)));
      over = true;
    })();
    const copies: { copy: MemberCopy; cursor: string }[] = [];
    while (!over && copies.length < 40) {
      const copy = createMemberCopy();
      // Reads to the end, and so holds count and digest against the lines.
      const { cursor } = await readSnapshot(await source.snapshot(acme.id), (member) => void copy.apply(acme.id, member));
      copies.push({ copy, cursor });
    }
    await logins;
    await untilInStep();
    const expected = await members();
    expect(copies.length).toBeGreaterThan(3);
    expect(new Set(copies.map(({ copy }) => copy.digest(acme.id).digest)).size).toBeGreaterThan(2);
    for (const { copy, cursor } of copies) {
      for (let [at, more] = [cursor, true]; more; ) {
        const page = await source.events(acme.id, at);
        for (const event of page.events) {
          const read = readMembershipEvent(event);
          if (read !== null) copy.apply(acme.id, read.member);
        }
        ({ cursor: at, more } = page);
      }
      expect(copied(copy)).toEqual(expected);
      expect(await source.digest(acme.id)).toMatchObject(copy.digest(acme.id));
    }
  });
});

/** All but the last bytes. */
async function* cut(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const whole: Uint8Array[] = [];
  for await (const chunk of chunks) whole.push(chunk);
  yield Buffer.concat(whole).subarray(0, -20);
}
