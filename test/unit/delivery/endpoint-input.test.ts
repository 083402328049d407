import { describe, expect, it } from 'vitest';
import { endpointInput, endpointPatch } from '../../../src/delivery/endpoint-input.ts';
import { generateSecret } from '../../../src/delivery/signature.ts';

const strict = endpointInput({ allowHttp: false });
const url = 'https://app.example.com/hook';
const workspaceId = '018f0000-0000-7000-8000-000000000001';

describe('an endpoint as given', () => {
  it('needs no more than an address: enabled, all types, all workspaces', () => {
    expect(strict.parse({ url })).toEqual({ url, description: '', eventTypes: null, workspaceIds: null, enabled: true });
  });

  it('may name types, workspaces and a secret of its own', () => {
    const given = {
      url,
      description: 'app',
      eventTypes: ['membership.updated'],
      workspaceIds: [workspaceId],
      enabled: false,
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
    ['an unknown field', { url, sealed_secrets: [] }],
  ])('is refused with %s', (_, given) => {
    expect(strict.safeParse(given).success).toBe(false);
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
