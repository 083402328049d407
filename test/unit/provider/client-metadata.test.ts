import { describe, expect, it } from 'vitest';
import { clientMetadataSchema } from '../../../src/provider/client-metadata.ts';

const minimal = {
  clientId: 'app',
  clientSecret: 's'.repeat(32),
  name: 'The app',
  redirectUris: ['https://app.example.com/callback'],
};
const accepts = (changes: object) => clientMetadataSchema.safeParse({ ...minimal, ...changes }).success;

describe('metadata of a client', () => {
  it('has defaults for what may be left out', () => {
    expect(clientMetadataSchema.parse(minimal)).toEqual({
      ...minimal,
      postLogoutRedirectUris: [],
      tokenEndpointAuthMethod: 'client_secret_basic',
      idTokenSignedResponseAlg: null,
    });
  });

  it.each([
    'https://app.example.com/callback',
    'https://app.example.com',
    'https://app.example.com:8443/a?b=c',
    'http://localhost:3000/callback',
    'http://127.0.0.1/callback',
    'http://[::1]:3000/callback',
  ])('accepts the redirect URI %s', (uri) => {
    expect(accepts({ redirectUris: [uri], postLogoutRedirectUris: [uri] })).toBe(true);
  });

  it.each([
    ['relative', '/callback'],
    ['without scheme', 'app.example.com/callback'],
    ['http beyond this machine', 'http://app.example.com/callback'],
    ['http on a name that only begins like this machine', 'http://localhost.example.com/'],
    ['http on an address that only looks like this machine', 'http://127.0.0.1.example.com/'],
    ['http on any address', 'http://0.0.0.0/'],
    ['fragment', 'https://app.example.com/#/callback'],
    ['empty fragment', 'https://app.example.com/#'],
    ['wildcard host', 'https://*.example.com/callback'],
    ['wildcard path', 'https://app.example.com/*'],
    ['user name', 'https://app.example.com@evil.example.com/'],
    ['script', 'javascript:alert(1)//'],
    ['data', 'data:text/html,x'],
    ['custom scheme', 'com.example.app:/callback'],
    ['backslash', 'https://app.example.com\\@evil.example.com/'],
    ['line end', 'https://app.example.com/\n'],
    ['tab inside', 'https://app.exa\tmple.com/'],
    ['space', ' https://app.example.com/'],
    ['letters of another script', 'https://аpp.example.com/'],
    ['too long', `https://app.example.com/${'a'.repeat(2_048)}`],
    ['empty', ''],
  ])('refuses a redirect URI that is %s', (_name, uri) => {
    expect(accepts({ redirectUris: [uri] })).toBe(false);
    expect(accepts({ postLogoutRedirectUris: [uri] })).toBe(false);
  });

  it.each([
    ['no redirect URI', { redirectUris: [] }],
    ['unknown key', { grantTypes: ['implicit'] }],
    ['client id with a space', { clientId: 'my app' }],
    ['empty client id', { clientId: '' }],
    ['long client id', { clientId: 'a'.repeat(129) }],
    ['short secret', { clientSecret: 's'.repeat(31) }],
    ['secret with a space', { clientSecret: `${'s'.repeat(32)} ` }],
    ['no secret', { clientSecret: null }],
    ['secret of a public client', { tokenEndpointAuthMethod: 'none' }],
    ['unknown method', { tokenEndpointAuthMethod: 'private_key_jwt' }],
    ['unsigned ID tokens', { idTokenSignedResponseAlg: 'none' }],
    ['symmetric ID tokens', { idTokenSignedResponseAlg: 'HS256' }],
    ['empty name', { name: ' ' }],
  ])('refuses %s', (_name, changes) => {
    expect(accepts(changes)).toBe(false);
  });

  it.each([
    ['a public client', { clientSecret: null, tokenEndpointAuthMethod: 'none' }],
    ['a public client whose secret is left out', { clientSecret: undefined, tokenEndpointAuthMethod: 'none' }],
    ['RS256', { idTokenSignedResponseAlg: 'RS256' }],
    ['a secret in the body', { tokenEndpointAuthMethod: 'client_secret_post' }],
  ])('accepts %s', (_name, changes) => {
    expect(accepts(changes)).toBe(true);
  });

  it('says which field is wrong and what to do', () => {
    const { error } = clientMetadataSchema.safeParse({
      ...minimal,
      redirectUris: [minimal.redirectUris[0], 'https://*.example.com/'],
    });
    expect(error?.issues).toMatchObject([
      { path: ['redirectUris', 1], message: 'wildcards are not allowed: list each URL in full' },
    ]);
  });
});
