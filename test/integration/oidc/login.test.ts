import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AttackName } from '../../support/oidc-attacks.ts';
import { type OidcIdp, startOidcIdp } from '../../support/oidc-idp.ts';
import { ada, createOidcWorld, type OidcWorld, redirectUri } from '../../support/oidc-world.ts';

let idp: OidcIdp;
let world: OidcWorld;

beforeAll(async () => {
  idp = await startOidcIdp({ users: { ada } });
  world = createOidcWorld(idp);
});
afterAll(async () => {
  await world.close();
  await idp.stop();
});
beforeEach(() => idp.behave());

describe('a login at an OpenID Provider', () => {
  test('gives the identity that the ID token vouches for', async () => {
    const before = Math.floor(Date.now() / 1_000);
    const { state, complete } = await world.begin();
    const identity = await complete();
    expect(identity).toMatchObject({
      issuer: idp.issuer,
      subject: 'ada-1',
      profile: { email: 'Ada@acme.example', emailVerified: true, name: 'Ada Lovelace', givenName: null, familyName: null },
      answerId: state,
      sessionId: 'sid-ada-1',
      notes: [],
    });
    expect(identity.claims.map(({ source }) => source)).toEqual(['id_token']);
    expect(identity.claims[0]?.claims.groups).toEqual(['Engineering', 'Everyone']);
    const lifetime = identity.answerExpiresAt.getTime() / 1_000 - before;
    expect(lifetime).toBeGreaterThanOrEqual(360);
    expect(lifetime).toBeLessThanOrEqual(362);
    expect(identity.authenticatedAt?.getTime()).toBeLessThanOrEqual(Date.now());
  });

  test.each(['RS256', 'PS256', 'ES384', 'EdDSA'] as const)('works with an IdP that signs with %s', async (algorithm) => {
    const other = await startOidcIdp({ users: { ada }, algorithm, path: '/realms/acme' });
    const otherWorld = createOidcWorld(other);
    await expect(otherWorld.login()).resolves.toMatchObject({ issuer: other.issuer, subject: 'ada-1' });
    await otherWorld.close();
    await other.stop();
  });

  test('asks for a code with PKCE, state, nonce and login_hint, and keeps what the answer must match', async () => {
    const { url, pending, state } = await world.begin();
    const sent = Object.fromEntries(url.searchParams);
    expect(sent).toMatchObject({
      response_type: 'code',
      response_mode: 'query',
      client_id: 'rollcall',
      redirect_uri: redirectUri,
      state,
      nonce: pending.nonce,
      code_challenge_method: 'S256',
      login_hint: 'ada',
    });
    expect(pending.issuer).toBe(idp.issuer);
    expect(pending.codeVerifier).toMatch(/^[\w-]{43}$/);
    expect(url.href).not.toContain(pending.codeVerifier);
    const second = await world.begin();
    expect(second.pending.nonce).not.toBe(pending.nonce);
    expect(second.pending.codeVerifier).not.toBe(pending.codeVerifier);
  });

  test('tolerates a login without login_hint', async () => {
    idp.behaviour.defaultUser = 'ada';
    const { url } = await world.relyingParty.authorizationUrl(world.connection(), { state: 's', loginHint: null });
    expect(new URL(url).searchParams.has('login_hint')).toBe(false);
  });
});

/** Each against the same IdP whose untouched answer the first test of this file accepts. */
const refusedAnswers: readonly (readonly [AttackName, string])[] = [
  ['wrong_nonce', 'nonce_mismatch'],
  ['missing_nonce', 'id_token_invalid'],
  ['wrong_audience', 'audience_mismatch'],
  ['audience_list_without_us', 'audience_mismatch'],
  ['missing_audience', 'id_token_invalid'],
  ['second_audience_without_azp', 'audience_mismatch'],
  ['wrong_azp', 'azp_mismatch'],
  ['wrong_issuer', 'issuer_mismatch'],
  ['issuer_with_trailing_slash', 'issuer_mismatch'],
  ['missing_issuer', 'id_token_invalid'],
  ['expired', 'token_expired'],
  ['missing_expiry', 'id_token_invalid'],
  ['expiry_as_text', 'id_token_invalid'],
  ['absurd_expiry', 'expiry_invalid'],
  ['issued_in_the_future', 'token_issued_in_future'],
  ['missing_issue_time', 'id_token_invalid'],
  ['not_yet_valid', 'token_not_yet_valid'],
  ['missing_subject', 'id_token_invalid'],
  ['empty_subject', 'subject_invalid'],
  ['subject_as_number', 'id_token_invalid'],
  ['overlong_subject', 'subject_invalid'],
  ['subject_with_nul', 'subject_invalid'],
  ['wrong_at_hash', 'at_hash_mismatch'],
  ['algorithm_none', 'id_token_invalid'],
  ['hmac_with_public_key', 'id_token_invalid'],
  ['hmac_with_client_secret', 'id_token_invalid'],
  ['foreign_key', 'signature_invalid'],
  ['foreign_key_with_embedded_jwk', 'signature_invalid'],
  ['unknown_kid', 'key_unknown'],
  ['unknown_critical_header', 'id_token_invalid'],
  ['unencoded_payload_header', 'id_token_invalid'],
  ['changed_payload', 'signature_invalid'],
  ['stripped_signature', 'signature_invalid'],
  ['garbage_token', 'id_token_invalid'],
  ['encrypted_token', 'id_token_invalid'],
  ['oversized_token', 'id_token_too_large'],
  ['payload_not_an_object', 'id_token_invalid'],
  ['no_id_token', 'id_token_invalid'],
  ['no_access_token', 'id_token_invalid'],
  ['wrong_token_type', 'id_token_invalid'],
  ['missing_iss_parameter', 'iss_missing'],
  ['wrong_iss_parameter', 'iss_mismatch'],
  ['doubled_iss_parameter', 'parameter_repeated'],
  ['wrong_state', 'state_mismatch'],
  ['missing_state', 'state_mismatch'],
  ['doubled_state', 'parameter_repeated'],
  ['missing_code', 'code_missing'],
  ['doubled_code', 'parameter_repeated'],
  ['id_token_in_callback', 'response_type_mismatch'],
  ['jarm_response', 'response_type_mismatch'],
];

describe('an answer is refused', () => {
  test.each(refusedAnswers)('%s', async (attack, reason) => {
    idp.behaviour.attack = attack;
    await expect(world.login()).rejects.toMatchObject({ code: 'assertion_rejected', reason });
    idp.behave();
    await expect(world.login()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test.each(['algorithm_none', 'hmac_with_public_key', 'hmac_with_client_secret'] as const)(
    '%s, also when the IdP advertises the algorithm',
    async (attack) => {
      idp.behaviour.metadata = { id_token_signing_alg_values_supported: ['ES256', 'HS256', 'none'] };
      const fresh = createOidcWorld(idp);
      await expect(fresh.login()).resolves.toMatchObject({ subject: 'ada-1' });
      idp.behaviour.attack = attack;
      await expect(fresh.login()).rejects.toMatchObject({ code: 'assertion_rejected', reason: 'algorithm_not_allowed' });
      await fresh.close();
    },
  );

  test('if its code was made for another login', async () => {
    const [mine, theirs] = [await world.begin(), await world.begin()];
    const injected = new URL(mine.callbackUrl);
    injected.searchParams.set('code', theirs.callbackUrl.searchParams.get('code') ?? '');
    await expect(mine.complete({ callbackUrl: injected })).rejects.toMatchObject({
      code: 'upstream_denied',
      reason: 'invalid_grant',
    });
    await expect((await world.begin()).complete()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test('the second time it comes', async () => {
    const { complete } = await world.begin();
    await expect(complete()).resolves.toMatchObject({ subject: 'ada-1' });
    await expect(complete()).rejects.toMatchObject({ code: 'upstream_denied', reason: 'invalid_grant' });
  });

  test('if the connection was changed to another IdP meanwhile', async () => {
    const { pending, complete } = await world.begin();
    await expect(complete({ pending: { ...pending, issuer: 'https://other.example' } })).rejects.toMatchObject({
      code: 'login_expired',
      reason: 'issuer_changed',
    });
    await expect(complete()).resolves.toMatchObject({ subject: 'ada-1' });
  });

  test('and the missing "iss" parameter is accepted from an IdP that does not promise it', async () => {
    idp.behaviour.metadata = { authorization_response_iss_parameter_supported: undefined };
    const fresh = createOidcWorld(idp);
    idp.behaviour.attack = 'missing_iss_parameter';
    await expect(fresh.login()).resolves.toMatchObject({ subject: 'ada-1' });
    idp.behaviour.attack = 'wrong_iss_parameter';
    await expect(fresh.login()).rejects.toMatchObject({ code: 'assertion_rejected', reason: 'iss_mismatch' });
    await fresh.close();
  });

  test('without the token, its claims or the e-mail in the error, however deep one looks', async () => {
    for (const attack of ['wrong_nonce', 'foreign_key', 'garbage_token', 'expired', 'payload_not_an_object'] as const) {
      idp.behaviour.attack = attack;
      const error: unknown = await world.login().catch((thrown: unknown) => thrown);
      const everything = inspect(error, { depth: 20, showHidden: true });
      expect(everything).toContain('assertion_rejected');
      expect(everything).not.toMatch(/eyJ|acme|Lovelace|not-a-jwt/i);
    }
  });
});

describe('an error answer of the IdP', () => {
  test.each([
    ['access_denied', 'upstream_denied'],
    ['login_required', 'upstream_denied'],
    ['interaction_required', 'upstream_denied'],
    ['consent_required', 'upstream_denied'],
    ['invalid_scope', 'upstream_misconfigured'],
    ['unauthorized_client', 'upstream_misconfigured'],
    ['temporarily_unavailable', 'upstream_unavailable'],
  ])('%s becomes %s', async (error, code) => {
    idp.behaviour.authorizationError = { error, error_description: 'ada@acme.example is not assigned' };
    const thrown = await world.login().catch((caught: unknown) => caught);
    expect(thrown).toMatchObject({ code, reason: error });
    expect(String(thrown)).not.toContain('acme');
  });

  test('cannot write into the log', async () => {
    idp.behaviour.authorizationError = { error: 'access_denied\r\n{"level":60,"msg":"forged"}' };
    await expect(world.login()).rejects.toMatchObject({
      code: 'upstream_denied',
      reason: 'unknown_error',
      message: expect.not.stringContaining('forged'),
    });
  });

  test('counts only if it belongs to this login', async () => {
    idp.behaviour.authorizationError = { error: 'access_denied' };
    idp.behaviour.attack = 'wrong_state';
    await expect(world.login()).rejects.toMatchObject({ code: 'assertion_rejected', reason: 'state_mismatch' });
  });
});

describe('the token request', () => {
  test.each([
    [{ status: 401, body: '{"error":"invalid_client"}' }, 'upstream_misconfigured', 'invalid_client'],
    [{ status: 400, body: '{"error":"unauthorized_client"}' }, 'upstream_misconfigured', 'unauthorized_client'],
    [{ status: 400, body: '{"error":"temporarily_unavailable"}' }, 'upstream_unavailable', 'temporarily_unavailable'],
    [{ status: 429, body: '{"error":"slow_down"}' }, 'upstream_unavailable', 'slow_down'],
    [{ status: 503, body: 'down' }, 'upstream_unavailable', 'http_503'],
    [{ status: 404, body: 'nothing' }, 'upstream_misconfigured', 'http_404'],
    [{ status: 200, body: '<html>' }, 'upstream_misconfigured', 'token_endpoint_invalid'],
  ])('answered with %o fails as %s', async (answer, code, reason) => {
    idp.behaviour.instead = { token: answer };
    await expect(world.login()).rejects.toMatchObject({ code, reason });
  });

  test('has a time limit', async () => {
    const hasty = createOidcWorld(idp, { outbound: { timeoutSeconds: 1 } });
    idp.behaviour.delayMilliseconds = { token: 3_000 };
    await expect(hasty.login()).rejects.toMatchObject({ code: 'upstream_unavailable', reason: 'timeout' });
    idp.behave();
    await expect(hasty.login()).resolves.toMatchObject({ subject: 'ada-1' });
    await hasty.close();
  });

  test('has a size limit', async () => {
    idp.behaviour.instead = { token: { status: 200, body: JSON.stringify({ padding: 'x'.repeat(2_000_000) }) } };
    await expect(world.login()).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'too_large' });
  });

  test('opens the client secret, and nothing before it does', async () => {
    const fresh = createOidcWorld(idp);
    const { complete } = await fresh.begin();
    expect(fresh.openedSecrets).toEqual([]);
    await complete();
    expect(fresh.openedSecrets).toEqual([`connection-1: sealed:${idp.client.secret}`]);
    await fresh.close();
  });

  test.each([
    ['client_secret_basic by default', undefined],
    ['client_secret_basic where both are offered', ['client_secret_post', 'client_secret_basic']],
    ['client_secret_post where only that is offered', ['client_secret_post', 'private_key_jwt']],
  ])('authenticates by %s', async (_, methods) => {
    idp.behaviour.metadata = { token_endpoint_auth_methods_supported: methods };
    const fresh = createOidcWorld(idp);
    await expect(fresh.login()).resolves.toMatchObject({ subject: 'ada-1' });
    await fresh.close();
  });

  test('of a public client carries no secret', async () => {
    idp.behaviour.metadata = { token_endpoint_auth_methods_supported: ['none'] };
    const fresh = createOidcWorld(idp);
    const connection = fresh.connection({ sealedClientSecret: null });
    await expect(fresh.login({ connection })).resolves.toMatchObject({ subject: 'ada-1' });
    expect(fresh.openedSecrets).toEqual([]);
    await fresh.close();
  });

  test('with a wrong secret says that the connection is misconfigured', async () => {
    const connection = world.connection({ sealedClientSecret: 'sealed:wrong' }, 2);
    await expect(world.login({ connection })).rejects.toMatchObject({ code: 'upstream_misconfigured', reason: 'invalid_client' });
  });
});
