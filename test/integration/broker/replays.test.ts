import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { connectOidc } from '../../support/broker-connections.ts';
import { logInByOidc, type OidcConnection } from '../../support/broker-login.ts';
import { type BrokerWorld, startBrokerWorld } from '../../support/broker-world.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts';

let world: BrokerWorld;
let idp: OidcIdp;
let receiver: WebhookReceiver;
let oidc: OidcConnection;
let endpoint: string;

beforeAll(async () => {
  [world, idp, receiver] = await Promise.all([
    startBrokerWorld({ settings: { delivery: { enabled: true, pollSeconds: 1 } } }),
    startOidcIdp(),
    startWebhookReceiver(),
  ]);
  await world.api.workspace('acme', { design: null, platform: 'builder' });
  oidc = await connectOidc(world, idp, { workspace: 'acme' });
  const { endpoint_id: id } = await world.api.post<{ endpoint_id: string }>('/v1/endpoints', { url: receiver.url });
  endpoint = `/v1/endpoints/${id}`;
});
afterAll(async () => {
  await world.stop();
  await Promise.all([idp.stop(), receiver.close()]);
});

const logIn = (groups: string[]) => logInByOidc(world, oidc, { sub: 'ada', email: 'ada@customer.example', groups });
type Page = { data: { event_id: string; outcome: string; status: number; id: string }[] };
const get = async (path: string) => (await world.api.call<Page>('GET', path)).body;

describe('R40 a running broker', () => {
  test('delivers once, shows the attempt and the event, and sends it once more when asked', async () => {
    await logIn(['design']);
    await logIn(['platform']);
    const updated = () => receiver.accepted().filter(({ type }) => type === 'membership.updated');
    await receiver.until(() => updated().length === 1);
    const { id, text } = updated()[0] as { id: string; text: string };

    const attempts = async () => (await get(`/v1/events/${id}/attempts`)).data;
    await vi.waitFor(async () => expect(await attempts()).toMatchObject([{ event_id: id, outcome: 'delivered', status: 200 }]));
    expect((await get(`${endpoint}/deliveries`)).data).toEqual([]);
    expect((await get('/v1/events')).data.map((event) => event.id)).toContain(id);

    const { replay_id: replayId } = await world.api.post<{ replay_id: string }>(`${endpoint}/replays`, { events: [id] });
    await receiver.until(() => updated().length === 2);
    expect(updated()[1]).toMatchObject({ id, text });
    expect(await get(`${endpoint}/replays/${replayId}`)).toMatchObject({ status: 'done', deliveries: 1 });
    await vi.waitFor(async () => expect(await attempts()).toHaveLength(2));
  });

  test('sends what was exhausted to a receiver that is back', async () => {
    const before = receiver.accepted().length;
    receiver.answer = () => 500;
    await logIn(['design']);
    const waiting = async () => (await get(`${endpoint}/deliveries?status=waiting`)).data;
    await vi.waitFor(async () => expect(await waiting()).toMatchObject([{ last_status: 500 }]), 5_000);
    await world.stores.db('deliveries').update({ status: 'exhausted', finished_at: new Date() });
    await world.stores.db('delivery_lanes').update({ due_at: null });
    expect((await get(`${endpoint}/deliveries?status=exhausted`)).data).toHaveLength(1);
    receiver.answer = () => 200;
    await world.api.post(`${endpoint}/replays`, { exhausted: true });
    await receiver.until(() => receiver.accepted().length === before + 1, 10);
    await vi.waitFor(async () => expect((await get(`${endpoint}/deliveries`)).data).toEqual([]));
  });
});
