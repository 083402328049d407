import { describe, expect, it } from 'vitest';
import { useApi } from '../../support/api-world.ts';
import { samlProtocol } from '../../support/connection-world.ts';

const api = useApi();
const { get, post, put, patch, remove } = api;

interface Sample {
  /** Makes one and gives its path. */
  readonly make: () => Promise<string>;
  readonly change: (path: string, name: string) => ReturnType<typeof patch>;
}

const client = { redirect_uris: ['https://app.example.com/callback'], client_secret: 's'.repeat(32) };

const samples: Readonly<Record<string, Sample>> = {
  connections: {
    make: async () =>
      (await post('/v1/connections', { display_name: 'Okta', protocol: samlProtocol })).headers.location as string,
    change: (path, name) => patch(path, { display_name: name }),
  },
  endpoints: {
    make: async () => (await post('/v1/endpoints', { url: 'https://app.example.com/hooks' })).headers.location as string,
    change: (path, name) => patch(path, { description: name }),
  },
  clients: {
    make: async () => {
      await put('/v1/clients/app', { ...client, name: 'App' });
      return '/v1/clients/app';
    },
    change: (path, name) => put(path, { ...client, name }),
  },
  workspaces: {
    make: async () => `/v1/workspaces/${api.globex}`,
    change: (path, name) => patch(path, { display_name: name }),
  },
  'a listed workspace': {
    make: async () => {
      const sync_list = [{ workspace: api.acme, is_default: true }];
      const { headers } = await post('/v1/connections', { display_name: 'Everybody', protocol: samlProtocol, sync_list });
      return `${headers.location}/workspaces/${api.acme}`;
    },
    change: (path, name) => patch(path, { claim_name: name }),
  },
  'one app group': {
    make: async () => {
      const { body } = await put(`/v1/workspaces/${api.acme}/app-groups`, { groups: [{ name: 'first' }] });
      return `/v1/workspaces/${api.acme}/app-groups/${body.data[0].group_id}`;
    },
    change: (path, name) => patch(path, { name }),
  },
  'app groups': {
    make: async () => `/v1/workspaces/${api.acme}/app-groups`,
    change: (path, name) => put(path, { groups: [{ name }] }),
  },
};

describe.each(Object.entries(samples))('ETag and If-Match of %s', (_, { make, change }) => {
  it('change what the sender read, and refuse what moved meanwhile', async () => {
    const path = await make();
    const { etag } = (await get(path)).headers as { etag: string };
    expect(etag).toMatch(/^"[\w-]+"$/);
    expect((await get(path)).headers.etag).toBe(etag);
    expect((await change(path, 'one').set('If-Match', etag)).status).toBe(200);
    const late = await change(path, 'two').set('If-Match', etag);
    expect([late.status, late.body.code]).toEqual([412, 'precondition_failed']);
    const shown = await get(path);
    expect(shown.text).toContain('one');
    expect(shown.text).not.toContain('two');
    expect((await change(path, 'three').set('If-Match', shown.headers.etag as string)).status).toBe(200);
    expect((await change(path, 'four')).status).toBe(200);
  });

  it('spare a reader who has it already', async () => {
    const path = await make();
    const { etag } = (await get(path)).headers as { etag: string };
    const known = await get(path).set('If-None-Match', `"x", W/${etag}`);
    expect([known.status, known.text, known.headers.etag]).toEqual([304, '', etag]);
    expect((await get(path).set('If-None-Match', '"x"')).status).toBe(200);
  });

  it('of two changes at once from the same reading let one through', async () => {
    const path = await make();
    for (let round = 0; round < 5; round += 1) {
      const { etag } = (await get(path)).headers as { etag: string };
      const answers = await Promise.all([0, 1, 2].map((each) => change(path, `round ${round} ${each}`).set('If-Match', etag)));
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
    }
  });
});

describe('If-Match', () => {
  it('holds a removal back too', async () => {
    for (const sample of ['connections', 'endpoints']) {
      const { make, change } = samples[sample] as Sample;
      const path = await make();
      const { etag } = (await get(path)).headers as { etag: string };
      await change(path, 'one');
      expect((await remove(path).set('If-Match', etag)).status).toBe(412);
      expect((await get(path)).text).toContain('"enabled":true');
      expect((await remove(path).set('If-Match', (await get(path)).headers.etag as string)).status).toBeLessThan(300);
    }
  });

  it('on a client that is not there refuses, and If-None-Match makes only what is not there', async () => {
    const named = { ...client, name: 'App' };
    expect((await put('/v1/clients/app', named).set('If-Match', '*')).status).toBe(412);
    expect((await put('/v1/clients/app', named).set('If-None-Match', '*')).status).toBe(201);
    expect((await put('/v1/clients/app', named).set('If-None-Match', '*')).status).toBe(412);
    const { etag } = (await get('/v1/clients/app')).headers as { etag: string };
    expect((await put('/v1/clients/app', { ...named, name: 'New' }).set('If-Match', etag)).headers.etag).not.toBe(etag);
  });
});
