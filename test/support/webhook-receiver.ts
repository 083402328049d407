import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';

export interface ReceivedWebhook {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As it came over the wire. */
  readonly text: string;
  readonly type: string;
  /** Empty for events that are about no user. */
  readonly userId: string;
  /** 0 for events without one. */
  readonly version: number;
  readonly answer: Answer;
  readonly receivedAt: number;
}

/** A status, or what a bad receiver does instead. */
export type Answer = number | 'reset' | 'silence' | 'redirect' | 'close-mid-body' | 'huge';

export interface WebhookReceiver {
  readonly url: string;
  readonly received: ReceivedWebhook[];
  /** Those that were answered with 2xx. */
  accepted(): ReceivedWebhook[];
  /** Members of whom two requests were open at once. */
  readonly overlaps: string[];
  /** How to answer; 200 unless set. `count` is how often this id has come, this time included. */
  answer: (webhook: Omit<ReceivedWebhook, 'answer'>, count: number) => Answer | Promise<Answer>;
  /** Waits until `done` holds; fails after `seconds`. */
  until(done: (receiver: WebhookReceiver) => boolean, seconds?: number): Promise<void>;
  /** A request whose signature no given secret verifies is answered 401 and not kept. Empty: nothing is verified. */
  secrets: string[];
  refused: number;
  close(): Promise<void>;
}

/** A webhook receiver on loopback, as an app would have one, with the faults of real ones. */
export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const counts = new Map<string, number>();
  const open = new Set<string>();

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await readText(request);
    const headers = request.headers as Record<string, string>;
    if (receiver.secrets.length > 0 && !receiver.secrets.some((secret) => verifies(secret, text, headers))) {
      receiver.refused += 1;
      response.writeHead(401).end();
      return;
    }
    const { type, data } = JSON.parse(text);
    const id = headers['webhook-id'] as string;
    const count = (counts.get(id) ?? 0) + 1;
    counts.set(id, count);
    const userId: string = data.user?.id ?? '';
    if (open.has(userId)) receiver.overlaps.push(userId);
    if (userId !== '') open.add(userId);
    const webhook = { id, headers, text, type, userId, version: data.version ?? 0, receivedAt: Date.now() };
    const answer = await receiver.answer(webhook, count);
    receiver.received.push({ ...webhook, answer });
    open.delete(userId);
    send(response, answer);
  }

  const receiver: WebhookReceiver = {
    url: '',
    received: [],
    overlaps: [],
    answer: () => 200,
    accepted: () => receiver.received.filter(({ answer }) => typeof answer === 'number' && answer < 300),
    secrets: [],
    refused: 0,
    async until(done, seconds = 15) {
      const end = Date.now() + seconds * 1_000;
      while (!done(receiver)) {
        if (Date.now() > end) throw new Error(`not within ${seconds} s; ${receiver.received.length} webhooks received`);
        await sleep(10);
      }
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(receiver, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` });
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function verifies(secret: string, text: string, headers: Record<string, string>): boolean {
  try {
    new Webhook(secret).verify(text, headers);
    return true;
  } catch {
    return false;
  }
}

function send(response: ServerResponse, answer: Answer): void {
  switch (answer) {
    case 'reset':
      response.socket?.resetAndDestroy();
      return;
    case 'silence':
      return;
    case 'redirect':
      response.writeHead(307, { location: '/hook' }).end();
      return;
    case 'close-mid-body':
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
      return;
    case 'huge':
      response.writeHead(200).end(Buffer.alloc(1024 * 1024, 'x'));
      return;
    default:
      response.writeHead(answer).end();
  }
}
