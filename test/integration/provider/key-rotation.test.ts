import { decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type App, createApp, goThrough, logIn, type ProviderWorld, startProviderWorld } from '../../support/provider-world.ts';
import { generateSigningKey } from '../../support/signing-key.ts';

let world: ProviderWorld;
let app: App;
beforeAll(async () => {
  world = await startProviderWorld();
  app = await createApp(world);
});
afterAll(() => world.close());

async function published(): Promise<string[]> {
  const response = await fetch(`${world.issuer}/jwks`);
  const { keys } = (await response.json()) as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid).sort();
}
const signedBy = (idToken: string | undefined) => decodeProtectedHeader(idToken ?? '').kid;
const ids = (keys: readonly { readonly keyId: string }[]) => keys.map(({ keyId }) => keyId).sort();

it('a new key is published, then signs, then stands alone, while logins and tokens go on', async () => {
  const fresh = await generateSigningKey('ES256');
  const old = world.signingKeys.find(({ algorithm }) => algorithm === 'ES256');
  const others = world.signingKeys.filter((key) => key !== old);
  if (!old) throw new Error('no key');
  const before = await logIn(app);
  expect(signedBy(before.tokens.id_token)).toBe(old.keyId);

  // Begun with one set of keys, ended with another.
  const request = await app.request();
  const callbackUrl = await goThrough(request.url);
  world.provider.useSigningKeys([old, fresh, ...others]);
  expect(await published()).toEqual(ids([old, fresh, ...others]));
  const during = await app.exchange(callbackUrl, request);
  expect(signedBy(during.id_token)).toBe(old.keyId);
  expect(await app.userinfo(before.tokens.access_token)).toMatchObject({ sub: before.tokens.claims()?.sub });

  // openid-client verifies with the JWKS that it reads then.
  world.provider.useSigningKeys([fresh, old, ...others]);
  expect(signedBy((await logIn(await createApp(world))).tokens.id_token)).toBe(fresh.keyId);
  expect(await published()).toEqual(ids([old, fresh, ...others]));

  world.provider.useSigningKeys([fresh, ...others]);
  expect(await published()).toEqual(ids([fresh, ...others]));
  expect(signedBy((await logIn(app)).tokens.id_token)).toBe(fresh.keyId);
});
