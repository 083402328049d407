import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { applyDeclaration } from '../cli/declarative-apply.ts';
import { readDeclaration } from '../cli/declarative-file.ts';
import type { Stores } from '../stores.ts';
import type { DemoIdp } from './idp.ts';
import type { DemoSecrets } from './secrets.ts';

/** The demo as a declarative file; the README shows it. */
export const declarationFile = fileURLToPath(new URL('rollcall.yaml', import.meta.url));

/** The environment variables that the file asks for. */
export type DemoEnvironment = ReturnType<typeof environmentOf>;

export function environmentOf(demo: {
  readonly idp: Pick<DemoIdp, 'samlMetadataXml' | 'oidcIssuer'>;
  readonly secrets: DemoSecrets;
  readonly appUrl: string;
}) {
  const { idp, secrets, appUrl } = demo;
  return {
    IDP_METADATA_XML: idp.samlMetadataXml,
    IDP_ISSUER: idp.oidcIssuer,
    IDP_CLIENT_SECRET: secrets.idpClientSecret,
    APP_CLIENT_SECRET: secrets.clientSecret,
    APP_URL: `${appUrl}/`,
    APP_REDIRECT_URI: `${appUrl}/callback`,
    APP_WEBHOOK_URL: `${appUrl}/webhooks`,
    APP_WEBHOOK_SECRET: secrets.webhookSecret,
  };
}

/** Brings the demo's database in line with the file. */
export async function declareDemo(env: DemoEnvironment, { stores, now }: { readonly stores: Stores; readonly now: () => Date }) {
  const text = readFileSync(declarationFile, 'utf8');
  const { declaration } = readDeclaration({ text, fileName: declarationFile, folder: '.', env, allowHttp: true });
  await applyDeclaration(declaration, { ...stores, roles: stores.ladder, now });
}
