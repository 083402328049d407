import { describe, expect, it } from 'vitest';
import { endpointInput, endpointPatch, secretRotation } from '../../../src/delivery/endpoint-input.ts';
import { generateSecret } from '../../../src/delivery/signature.ts';

const strict = endpointInput({ allowHttp: false });
const url = 'https://app.example.com/hook';
const workspaceId = '018f0000-0000-7000-8000-000000000001';

describe('an endpoint as given', () => {
  it('needs no more than an address: enabled, all types, all workspaces', () => {
    expect(strict.parse({ url })).toEqual({
      url,
      description: '',
      eventTypes: null,
      workspaceIds: null,
      enabled: true,
      headers: {},
      rateLimitPerSecond: null,
      maxConcurrency: null,
    });
  });

  it('may name types, workspaces, headers, limits and a secret of its own', () => {
    const given = {
      url,
      description: 'app',
      eventTypes: ['membership.updated'],
      workspaceIds: [workspaceId],
      enabled: false,
      headers: { authorization: 'Bearer abc', 'x-team': 'a b' },
      rateLimitPerSecond: 50,
      maxConcurrency: 4,
      secret: generateSecret(),
    };
    expect(strict.parse(given)).toEqual(given);
  });

  it('keeps its address in one spelling', () => {
    expect(strict.parse({ url: 'HTTPS://App.Example.com:443/a/../hook' }).url).toBe(url);
  });

  it.each([
    ['plain http', { url: 'http://app.example.com/hook' }],
    ['another scheme', { url: 'file:///etc/passwd' }],
    ['credentials', { url: 'https://user:pass@app.example.com/hook' }],
    ['a user name', { url: 'https://user@app.example.com/hook' }],
    ['a fragment', { url: 'https://app.example.com/hook#part' }],
    ['no host', { url: '/hook' }],
    ['an endless address', { url: `https://app.example.com/${'a'.repeat(2_048)}` }],
    ['an unknown type', { url, eventTypes: ['membership.exploded'] }],
    ['an empty list of types', { url, eventTypes: [] }],
    ['an empty list of workspaces', { url, workspaceIds: [] }],
    ['a workspace that is no id', { url, workspaceIds: ['acme'] }],
    ['a weak secret', { url, secret: 'whsec_c2hvcnQ=' }],
    ['a type that is made for one endpoint alone', { url, eventTypes: ['endpoint.test'] }],
    ['a rate of nothing', { url, rateLimitPerSecond: 0 }],
    ['half a request at a time', { url, maxConcurrency: 0.5 }],
    ['an unknown field', { url, sealed_secrets: [] }],
  ])('is refused with %s', (_, given) => {
    expect(strict.safeParse(given).success).toBe(false);
  });

  it('has an address of 2,048 characters at most, counted as it is sent', () => {
    const withPath = (path: string) => strict.safeParse({ url: `https://a.example/${path}` });
    expect(withPath('狐'.repeat(225)).data?.url).toHaveLength(18 + 225 * 9);
    expect(withPath('狐'.repeat(226)).success).toBe(false);
    expect(withPath('x'.repeat(2_030)).success).toBe(true);
    expect(withPath('x'.repeat(2_031)).success).toBe(false);
  });

  it('may have a plain http address where that is allowed', () => {
    const lax = endpointInput({ allowHttp: true });
    expect(lax.parse({ url: 'http://127.0.0.1:3000/hook' }).url).toBe('http://127.0.0.1:3000/hook');
    expect(lax.safeParse({ url: 'ftp://127.0.0.1/hook' }).success).toBe(false);
  });
});

describe('a change of an endpoint', () => {
  it('leaves alone what it does not name', () => {
    expect(endpointPatch({ allowHttp: false }).parse({ enabled: false })).toEqual({ enabled: false });
    expect(endpointPatch({ allowHttp: false }).parse({})).toEqual({});
  });

  it('is refused with a secret', () => {
    expect(endpointPatch({ allowHttp: false }).safeParse({ secret: generateSecret() }).success).toBe(false);
  });
});

describe('headers of an endpoint', () => {
  const parse = (headers: unknown) => strict.safeParse({ url, headers });

  it('keep their names in lower case', () => {
    expect(parse({ 'X-Api-Key': 'k', Authorization: 'Basic YTpi' }).data?.headers).toEqual({
      'x-api-key': 'k',
      authorization: 'Basic YTpi',
    });
  });

  it.each([
    'host',
    'Content-Type',
    'content-length',
    'Connection',
    'transfer-encoding',
    'TE',
    'trailer',
    'upgrade',
    'user-agent',
    'keep-alive',
    'proxy-authorization',
    'cookie',
    'expect',
    'accept-encoding',
    'webhook-id',
    'Webhook-Signature',
  ])('are refused with the name %s', (name) => {
    expect(parse({ [name]: 'x' }).success).toBe(false);
    expect(parse({ [`x-${name}`]: 'x' }).success).toBe(true);
  });

  it.each(['', ' x', 'a b', 'a:b', 'a\r\nb', 'é', 'x'.repeat(101), '"'])('are refused with the name %j', (name) => {
    expect(parse({ [name]: 'x' }).success).toBe(false);
  });

  it.each(['', ' ', 'a\r\nx-other: b', 'a\nb', 'a\0b', 'a\u007fb', ' a', 'a ', 'é', 'x'.repeat(1_001)])(
    'are refused with the value %j',
    (value) => {
      expect(parse({ 'x-a': value }).success).toBe(false);
    },
  );

  it('are refused when a name comes twice in different case', () => {
    expect(parse({ 'x-a': '1', 'X-A': '2' }).success).toBe(false);
  });

  it('are 20 at most, of 4,000 characters in all', () => {
    const many = (count: number, value: string) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${String(index).padStart(2, '0')}`, value]));
    expect(parse(many(20, 'v')).success).toBe(true);
    expect(parse(many(21, 'v')).success).toBe(false);
    expect(parse(many(4, 'v'.repeat(996))).success).toBe(true);
    expect(parse(many(4, 'v'.repeat(997))).success).toBe(false);
  });

  it('may be taken away by a change, and by nothing else', () => {
    const patch = endpointPatch({ allowHttp: false });
    expect(patch.parse({ headers: { 'X-Old': null, 'x-new': 'v' } })).toEqual({ headers: { 'x-old': null, 'x-new': 'v' } });
    expect(parse({ 'x-old': null }).success).toBe(false);
    expect(patch.safeParse({ headers: { host: null } }).success).toBe(false);
  });
});

describe('a rotation of the secret', () => {
  it('overlaps for a day unless it says otherwise, for seven days at most', () => {
    expect(secretRotation.parse({})).toEqual({ overlapSeconds: 86_400 });
    expect(secretRotation.parse({ overlapSeconds: 0 })).toEqual({ overlapSeconds: 0 });
    expect(secretRotation.parse({ overlapSeconds: 604_800 })).toEqual({ overlapSeconds: 604_800 });
    for (const overlapSeconds of [-1, 604_801, 1.5]) expect(secretRotation.safeParse({ overlapSeconds }).success).toBe(false);
    expect(secretRotation.safeParse({ secret: 'whsec_c2hvcnQ=' }).success).toBe(false);
  });
});
