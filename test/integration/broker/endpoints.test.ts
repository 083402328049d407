import { createPublicKey, type JsonWebKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { EventBody, TestWorkspace } from '../../support/broker-api.ts';
import { connectOidc } from '../../support/broker-connections.ts';
import { logInByOidc, type OidcConnection } from '../../support/broker-login.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { type ReceivedWebhook, startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

let world: BrokerWorld;
let oidcIdp: OidcIdp;
let receivers: WebhookReceiver[];
let acme: TestWorkspace;
let oidc: OidcConnection;

beforeAll(async () => {
  [world, oidcIdp, ...receivers] = await Promise.all([
    startBrokerWorld({ settings: { delivery: { enabled: true, pollSeconds: 1 } } }),
    startOidcIdp(),
    startWebhookReceiver(),
    startWebhookReceiver(),
  ]);
  acme = await world.api.workspace('acme', { design: null, platform: 'builder' });
  oidc = await connectOidc(world, oidcIdp, { workspace: 'acme' });
});
afterAll(async () => {
  await world.stop();
  await Promise.all([oidcIdp.stop(), ...receivers.map((receiver) => receiver.close())]);
});

type Made = { endpoint_id: string; secret: string };
const logIn = (sub: string, groups: string[]) => logInByOidc(world, oidc, { sub, email: `${sub}@customer.example`, groups });
const opened = (secret: string, { text, headers }: ReceivedWebhook) =>
  new Webhook(secret).verify(text, headers) as Omit<EventBody, 'id'>;

describe('an endpoint of a running broker', () => {
  test('R40 that asks for a snapshot learns of every member, then of every change', async () => {
    const [receiver] = receivers as [WebhookReceiver];
    const people = await Promise.all(['ada', 'bob', 'cyd'].map(async (sub) => (await logIn(sub, ['design'])).sub));
    const { secret } = await world.api.post<Made>('/v1/endpoints', {
      url: receiver.url,
      snapshot: true,
      event_types: ['membership.updated'],
    });
    await logIn('ada', ['platform']);
    const ofPerson = (userId: string) => receiver.accepted().filter((webhook) => webhook.userId === userId);
    await receiver.until(() => people.every((userId) => ofPerson(userId).some(({ type }) => type === 'membership.snapshot')));
    await receiver.until(() => ofPerson(people[0] as string).some(({ version }) => version === 2));
    const last = (userId: string) => opened(secret, ofPerson(userId).at(-1) as ReceivedWebhook);
    for (const userId of people.slice(1)) {
      expect(last(userId)).toMatchObject({
        type: 'membership.snapshot',
        data: {
          workspace: { id: acme.id, slug: 'acme' },
          user: { id: userId, status: 'active' },
          role: 'end-user',
          groups: [{ id: acme.groups.design, name: 'design' }],
          version: 1,
          status: 'active',
        },
      });
    }
    expect(last(people[0] as string).data).toMatchObject({ version: 2, groups: [{ name: 'platform' }] });
    const versions = ofPerson(people[0] as string).map(({ version }) => version);
    expect(versions).toEqual(versions.toSorted());
  });

  test('gets a test event, signed with its secret and with the published key; the attempts tell of it', async () => {
    const receiver = receivers[1] as WebhookReceiver;
    const made = await world.api.post<Made>('/v1/endpoints', {
      url: receiver.url,
      headers: { authorization: 'Bearer of-the-app' },
    });
    const path = `/v1/endpoints/${made.endpoint_id}`;
    const { event_id: id } = await world.api.post<{ event_id: string }>(`${path}/test`, {});
    await receiver.until(() => receiver.received.some((webhook) => webhook.id === id));
    const webhook = receiver.received.find((each) => each.id === id) as ReceivedWebhook;
    expect(opened(made.secret, webhook)).toMatchObject({ type: 'endpoint.test', data: { endpoint: { id: made.endpoint_id } } });
    expect(webhook.headers.authorization).toBe('Bearer of-the-app');

    const answer = await fetch(`${world.publicUrl}/.well-known/webhook-jwks.json`);
    const { keys } = (await answer.json()) as { keys: [JsonWebKey] };
    const signature = /v1a,(\S+)/.exec(webhook.headers['webhook-signature'] as string)?.[1] as string;
    const content = Buffer.from(`${id}.${webhook.headers['webhook-timestamp']}.${webhook.text}`);
    const publicKey = createPublicKey({ key: keys[0], format: 'jwk' });
    expect(verify(null, content, publicKey, Buffer.from(signature, 'base64'))).toBe(true);

    await vi.waitFor(async () => {
      const attempts = await world.api.get<{ data: unknown[] }>(`${path}/attempts?event=${id}`);
      expect(attempts.data).toMatchObject([{ outcome: 'delivered', status: 200 }]);
      expect(await world.api.get(`${path}/health`)).toMatchObject({
        state: 'healthy',
        last_success_at: expect.any(String),
        waiting: { count: 0, exact: true },
      });
    }, 10_000);
    const metrics = await (await fetch(`${world.publicUrl}/metrics`)).text();
    expect(metrics).toContain('rollcall_endpoints{state="healthy"} 2');
    expect(metrics).toContain('rollcall_deliveries_queued{status="waiting"} 0');
  });

  test('that answers 410 is disabled, and the other one is told', async () => {
    const [told, gone] = receivers as [WebhookReceiver, WebhookReceiver];
    await world.api.post<Made>('/v1/endpoints', { url: `${told.url}/told`, event_types: ['endpoint.disabled'] });
    gone.answer = () => 410;
    const { data } = await world.api.get<{ data: { endpoint_id: string; url: string }[] }>('/v1/endpoints');
    const { endpoint_id: endpointId = '' } = data.find(({ url }) => url === gone.url) ?? {};
    await world.api.post(`/v1/endpoints/${endpointId}/test`, {});
    await told.until(() => told.accepted().some(({ type }) => type === 'endpoint.disabled'));
    const event = told.accepted().find(({ type }) => type === 'endpoint.disabled') as ReceivedWebhook;
    expect(JSON.parse(event.text).data).toMatchObject({ endpoint: { id: endpointId }, reason: 'gone', last_status: 410 });
    expect(await world.api.get(`/v1/endpoints/${endpointId}/health`)).toMatchObject({
      state: 'disabled',
      disabled_reason: 'gone',
    });
  });
});
