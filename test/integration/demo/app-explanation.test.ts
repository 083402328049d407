import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { describe, expect, test } from 'vitest';
import { createExplainer } from '../../../src/demo/app-rollcall-api.ts';
import { type Html, renderHtml } from '../../../src/http/html.ts';
import { createMemberRoutes } from '../../../src/http/routes/members.ts';
import { uniqueId } from '../../../src/infra/unique-id.ts';
import type { Explanation as StoredExplanation } from '../../../src/membership/store.ts';

describe('demo app, explanations', () => {
  const reported: unknown[] = [];
  const reportError = (error: unknown) => reported.push(error);
  const workspaceId = uniqueId(new Date());
  const userId = uniqueId(new Date());
  const at = new Date('2026-05-01T10:00:00Z');

  /** A stand-in for Rollcall's API. */
  async function serve(listener: RequestListener) {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    const { port } = server.address() as AddressInfo;
    return { url: `http://localhost:${port}`, close: () => server.close() };
  }

  test('R37 asks Rollcall with the API key', async () => {
    let asked: { url: string | undefined; headers: IncomingHttpHeaders } | null = null;
    const api = await serve((request, response) => {
      asked = { url: request.url, headers: request.headers };
      response.end(
        JSON.stringify({ reasons: [{ grant: { kind: 'role', role: 'admin' }, idpGroup: 'admin', via: { kind: 'one-to-one' } }] }),
      );
    });
    const explain = createExplainer({ url: api.url, apiKey: 'key-1', reportError });
    expect((await explain('w 1', 'u/1'))?.grants).toMatchObject([{ kind: 'role', name: 'admin' }]);
    expect(asked).toMatchObject({
      url: '/v1/workspaces/w%201/members/u%2F1/explain',
      headers: { authorization: 'Bearer key-1' },
    });
    api.close();
  });

  test('R37 understands every reason and warning that Rollcall’s API writes', async () => {
    const role = { kind: 'role', role: 'builder' } as const;
    const group = { kind: 'group', groupId: 'g1', name: 'engineering' } as const;
    const explanation: StoredExplanation = {
      member: {
        userId,
        email: null,
        name: null,
        userStatus: 'active',
        role: 'builder',
        groups: [],
        status: 'active',
        version: 2,
        updatedAt: at,
      },
      reasons: [
        {
          grant: group,
          idpGroup: 'Engineering',
          via: { kind: 'rule', ruleIndex: 1, from: 'Eng*', match: 'glob', to: 'engineering' },
        },
        { grant: group, idpGroup: 'engineering', via: { kind: 'one-to-one' } },
        {
          grant: role,
          idpGroup: 'Engineering',
          via: { kind: 'group-requires', groupId: 'g1', name: 'engineering', requiresRole: 'builder' },
        },
        { grant: role, idpGroup: null, via: { kind: 'fallback' } },
        { grant: role, idpGroup: null, via: { kind: 'kept', because: 'last-admin' } },
      ],
      warnings: [
        { kind: 'near-miss', idpGroup: 'eng', name: 'Eng', difference: 'unicode-form' },
        { kind: 'target-missing', idpGroup: 'Ops', target: 'operations', ruleIndex: 0 },
        { kind: 'duplicate-group', idpGroup: 'Ops', times: 2 },
        { kind: 'unmatched', idpGroup: 'All Staff' },
      ],
      login: { loginId: null, connectionId: null, connection: 'Tidewater', at },
    };
    const workspace = {
      workspaceId,
      slug: 'w',
      displayName: 'W',
      status: 'active',
      catalogueVersion: 1,
      createdAt: at,
      updatedAt: at,
    } as const;
    const rollcall = express().use(
      '/v1/workspaces/:workspace_id/members',
      createMemberRoutes({
        members: { explain: async () => explanation, list: async () => [] },
        explainWhyNot: async (_workspaceId, _userId, asked) => ({ asked, kind: 'unknown', held: false, causes: [] }),
        findWorkspace: async () => workspace,
      }),
    );
    const api = await serve(rollcall);
    const read = await createExplainer({ url: api.url, apiKey: 'k', reportError })(workspaceId, userId);
    const words = (sentences: readonly Html[] | undefined) =>
      (sentences ?? []).map((one) => renderHtml(one).replace(/<[^>]*>/g, '|'));
    expect(read?.grants.map(({ name }) => name)).toEqual(['builder', 'engineering']);
    expect(words(read?.grants[0]?.because)).toEqual([
      'Being in |engineering| requires at least this role; the IdP group |Engineering| led there.',
      'No group gave a role, so the lowest one applies.',
      'Kept: nobody else is an admin of this workspace.',
    ]);
    expect(words(read?.grants[1]?.because)).toEqual([
      'Rule 2 |Eng* → engineering| fits the IdP group |Engineering|.',
      'The name of the IdP group |engineering| is the name of this group.',
    ]);
    expect(words(read?.warnings)).toEqual([
      '|eng| gave nothing. It differs from |Eng| only in how a letter is encoded.',
      '|Ops| gave nothing by rule 1: the app has no group |operations|.',
      '|Ops| came 2 times and counts once.',
      '|All Staff| gave nothing: no rule names it, and the app has no role or group of that name.',
    ]);
    expect(read?.decidedBy).toEqual({ connection: 'Tidewater', at });
    api.close();
  });

  test('goes without when Rollcall refuses, errs or is away', async () => {
    const api = await serve((_request, response) => response.writeHead(500).end('{'));
    expect(await createExplainer({ url: api.url, apiKey: 'k', reportError })('w', 'u')).toBeNull();
    api.close();
    expect(await createExplainer({ url: 'http://localhost:1', apiKey: 'k', reportError })('w', 'u')).toBeNull();
    expect(reported).toHaveLength(2);
  });
});
