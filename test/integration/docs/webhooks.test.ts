import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import {
  blocksOf,
  hasPython,
  nodeModule,
  outputOf,
  pythonProgram,
  type Runtime,
  readDoc,
  startListening,
} from '../../support/doc-blocks.ts';
import { freePort } from '../../support/servers.ts';

const page = readDoc('webhooks.md');
const javascript = blocksOf(page, 'js');
const python = blocksOf(page, 'python');
const secret = `whsec_${Buffer.from('a secret of thirty-two bytes ...').toString('base64')}`;
const noPython = !hasPython();

/** The block that holds this text. */
function block(blocks: readonly string[], text: string): string {
  const found = blocks.filter((each) => each.includes(text));
  expect(found).toHaveLength(1);
  return found[0] as string;
}

/** Stands in for the library where it is not installed: HMAC alone, by the specification. */
const pythonLibrary = `
import base64, hashlib, hmac, json, time

class WebhookVerificationError(Exception):
    pass

class Webhook:
    def __init__(self, secret):
        self.key = base64.b64decode(secret.removeprefix("whsec_"))

    def verify(self, data, headers):
        headers = {name.lower(): value for name, value in headers.items()}
        try:
            content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), data])
            signatures = headers["webhook-signature"].split(" ")
            recent = abs(time.time() - int(headers["webhook-timestamp"])) <= 300
        except (KeyError, ValueError):
            raise WebhookVerificationError()
        expected = "v1," + base64.b64encode(hmac.new(self.key, content, hashlib.sha256).digest()).decode()
        if not recent or not any(hmac.compare_digest(expected, each) for each in signatures):
            raise WebhookVerificationError()
        return json.loads(data)
`;

let library: string;
let database: TestDatabase;
beforeAll(async () => {
  library = mkdtempSync(join(tmpdir(), 'rollcall-test-python-'));
  mkdirSync(join(library, 'standardwebhooks'));
  writeFileSync(join(library, 'standardwebhooks', '__init__.py'), '');
  writeFileSync(join(library, 'standardwebhooks', 'webhooks.py'), pythonLibrary);
  database = await createTestDatabase({ poolSize: 1 });
});
afterAll(async () => {
  rmSync(library, { recursive: true });
  await database.drop();
});

describe('docs/webhooks.md verifies', () => {
  const body = JSON.stringify({ type: 'membership.updated', data: { user: { name: 'Renée' }, version: 2 } });
  const send = (url: string, sent = body, headers: Record<string, string> = {}) => {
    const at = new Date();
    return fetch(`${url}/webhooks/rollcall`, {
      method: 'POST',
      body: sent,
      headers: {
        'content-type': 'application/json',
        'webhook-id': 'evt_1',
        'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
        // As Rollcall signs: also with a key that this receiver does not know.
        'webhook-signature': `v1a,${Buffer.alloc(64).toString('base64')} ${new Webhook(secret).sign('evt_1', at, body)}`,
        ...headers,
      },
    });
  };

  async function checkReceiver(runtime: Runtime): Promise<void> {
    const receiver = await startListening(runtime, await freePort());
    try {
      expect((await send(receiver.url)).status).toBe(204);
      expect((await send(receiver.url, body.replace('2', '3'))).status).toBe(401);
      expect((await send(receiver.url, body, { 'webhook-id': 'evt_2' })).status).toBe(401);
      expect((await send(receiver.url, body, { 'webhook-timestamp': '1700000000' })).status).toBe(401);
      expect((await fetch(`${receiver.url}/webhooks/rollcall`, { method: 'POST', body })).status).toBe(401);
      await vi.waitFor(() => expect(receiver.lines.map((line) => JSON.parse(line))).toEqual([['evt_1', JSON.parse(body)]]));
    } finally {
      await receiver.stop();
    }
  }

  test('in JavaScript', async () => {
    const code = block(javascript, "from 'express'");
    const store = 'const store = async (id, event) => console.log(JSON.stringify([id, event]));';
    const runtime = nodeModule(`${store}\n${code}`);
    await checkReceiver({ ...runtime, env: { ROLLCALL_WEBHOOK_SECRET: secret } });
  });

  test.skipIf(noPython)(`in Python${noPython ? ' (skipped: no python3 on this machine)' : ''}`, async () => {
    const code = block(python, 'standardwebhooks');
    const store = 'import json\ndef store(id, event):\n    print(json.dumps([id, event]), flush=True)\n';
    // Last in the path: the library itself, where it is installed, goes first.
    const path = `import sys\nsys.path.append(${JSON.stringify(library)})\n`;
    await checkReceiver(pythonProgram(path + store + code, { ROLLCALL_WEBHOOK_SECRET: secret }));
  });

  test('with public keys', async () => {
    const [old, now, other] = [1, 2, 3].map(() => generateKeyPairSync('ed25519'));
    if (!old || !now || !other) throw new Error('three keys');
    const keys = [old, now].map(({ publicKey }, at) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid: `k${at}`,
      use: 'sig',
      alg: 'EdDSA',
    }));
    const jwks = createServer((request, response) => {
      response.writeHead(request.url === '/.well-known/webhook-jwks.json' ? 200 : 404).end(JSON.stringify({ keys }));
    });
    await new Promise<void>((resolve) => jwks.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(jwks.address() as AddressInfo).port}`;
    const headersBy = (pairs: readonly (typeof old)[], secondsAgo = 0) => {
      const timestamp = String(Math.floor(Date.now() / 1_000) - secondsAgo);
      const content = Buffer.from(`evt_1.${timestamp}.${body}`);
      const signatures = pairs.map(({ privateKey }) => `v1a,${sign(null, content, privateKey).toString('base64')}`);
      return { 'webhook-id': 'evt_1', 'webhook-timestamp': timestamp, 'webhook-signature': ['v1,AAAA', ...signatures].join(' ') };
    };
    const cases = [
      [headersBy([now]), body],
      [headersBy([other, old]), body],
      [headersBy([other]), body],
      [headersBy([]), body],
      [headersBy([now]), body.replace('2', '3')],
      [{ ...headersBy([now]), 'webhook-id': 'evt_2' }, body],
      [headersBy([now], 400), body],
    ];
    const code = `${block(javascript, 'webhook-jwks.json')}
      const verdicts = [];
      for (const [headers, body] of ${JSON.stringify(cases)}) verdicts.push(await verifyWithPublicKeys(${JSON.stringify(url)}, headers, body));
      console.log(JSON.stringify(verdicts));`;
    const receiver = nodeModule(code);
    const { spawn } = await import('node:child_process');
    const child = spawn(receiver.command, receiver.args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    for await (const chunk of child.stdout) printed += chunk;
    jwks.close();
    expect(JSON.parse(printed)).toEqual([true, true, false, false, false, false, false]);
  });
});

describe('R40 docs/webhooks.md computes the digest', () => {
  interface Vector {
    readonly members: readonly object[];
    readonly digest: string;
  }
  const { vectors }: { vectors: readonly Vector[] } = JSON.parse(readDoc('digest-vectors.json'));
  const expected = vectors.map(({ digest }) => digest);
  const input = JSON.stringify(vectors.map(({ members }) => members));

  test('in JavaScript', () => {
    const code = `${block(javascript, 'digestOf')}\nconsole.log(JSON.stringify(${input}.map(digestOf)));`;
    expect(JSON.parse(outputOf(nodeModule(code)))).toEqual(expected);
  });

  test.skipIf(noPython)(`in Python${noPython ? ' (skipped: no python3 on this machine)' : ''}`, () => {
    const code = `${block(python, 'digest_of')}\nimport json, sys\nprint(json.dumps([digest_of(each) for each in json.load(sys.stdin)]))`;
    expect(JSON.parse(outputOf(pythonProgram(code), input))).toEqual(expected);
  });

  test('of its worked example', () => {
    const rows = [...page.matchAll(/^\| [^|]+ \| `([^`]+)` \| `([0-9a-f]{64})` \|$/gm)].map(([, text, sum]) => ({
      text: (text as string).replaceAll('\\n', '\n'),
      sum,
    }));
    expect(rows).toHaveLength(2);
    const hashes = rows.map(({ text }) => createHash('sha256').update(text).digest('hex'));
    expect(rows.map(({ sum }) => sum)).toEqual(hashes);
    const total = /^\| \*\*both\*\* \| the sum \| `([0-9a-f]{64})` \|$/m.exec(page)?.[1];
    const sum = hashes.reduce((before, each) => before + BigInt(`0x${each}`), 0n) % 2n ** 256n;
    expect(total).toBe(sum.toString(16).padStart(64, '0'));
    expect(expected).toContain(total);
  });
});

test('docs/webhooks.md writes newer versions only', async () => {
  const { db } = database;
  await db.raw(`CREATE TABLE members (workspace_id uuid, user_id uuid, role text, group_ids uuid[], active boolean, version bigint,
                PRIMARY KEY (workspace_id, user_id))`);
  const sql = (blocksOf(page, 'sql')[0] as string).replace(/\$\d/g, '?');
  const [workspaceId, userId, groupId] = [1, 2, 3].map((n) => `018f0000-0000-7000-8000-00000000000${n}`);
  const write = (version: number, role: string, active = true) =>
    db.raw(sql, [workspaceId, userId, role, [groupId], active, version] as never);
  const stored = async () => (await db('members').first('role', 'active', 'version')) as object;
  await write(2, 'builder');
  await write(1, 'end-user');
  await write(2, 'admin');
  expect(await stored()).toEqual({ role: 'builder', active: true, version: 2 });
  await write(4, 'builder', false);
  await write(3, 'admin');
  expect(await stored()).toEqual({ role: 'builder', active: false, version: 4 });
});
