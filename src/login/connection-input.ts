import { z } from 'zod';
import { BrokerError } from '../domain/broker-error.ts';
import type { OidcSettings, SamlSettings } from '../domain/connection.ts';
import type { GroupSyncSettings } from '../domain/group-sync.ts';
import { mappingRulesSchema } from '../mapping/rule.ts';
import { parseMappingText } from '../mapping/text-form.ts';

/** Connections as the API and the declarative file write them: snake_case, strict, secrets in the clear on the way in only. */

/** Control characters have no place in what people read in pages and logs. */
const label = z
  .string()
  .min(1, 'give at least one character')
  .max(200, 'give at most 200 characters')
  .refine((value) => !/\p{Cc}/u.test(value), 'leave out line breaks and other control characters')
  .refine((value) => value.trim() === value, 'leave out the spaces at its edges');

const name = z.string().min(1, 'give at least one character').max(1_000, 'give at most 1000 characters');

const webAddress = z
  .url({ protocol: /^https?$/, error: 'give an https:// address' })
  .max(2_000)
  .refine(hasNoCredentials, 'leave user name and password out of the address');

function hasNoCredentials(value: string): boolean {
  const url = URL.parse(value);
  return url !== null && url.username === '' && url.password === '';
}

const clockSkewSeconds = z.int().min(0).max(300).default(60);

const samlInput = z
  .strictObject({
    type: z.literal('saml'),
    metadata_xml: z.string().min(1).nullish(),
    metadata_url: webAddress.nullish(),
    sign_authn_requests: z.boolean().default(false),
    authn_request_binding: z.enum(['redirect', 'post']).default('redirect'),
    name_id_format: name.nullable().default(null),
    email_attribute: name.nullable().default(null),
    name_attribute: name.nullable().default(null),
    given_name_attribute: name.nullable().default(null),
    family_name_attribute: name.nullable().default(null),
    clock_skew_seconds: clockSkewSeconds,
  })
  .superRefine(({ metadata_xml: xml, metadata_url: url }, context) => {
    if (xml && url)
      context.addIssue({ code: 'custom', path: ['metadata_url'], message: 'give metadata_xml or metadata_url, not both' });
    if (!xml && !url) {
      const message = "give the identity provider's metadata here, or its address as metadata_url";
      context.addIssue({ code: 'custom', path: ['metadata_xml'], message });
    }
  });

const oidcInput = z.strictObject({
  type: z.literal('oidc'),
  discovery_url: webAddress,
  client_id: name,
  /** Absent: the stored one stays. Null: a public client. */
  client_secret: z.string().min(1, 'give the secret, or null for a public client').max(4_000).nullish(),
  scopes: z
    // RFC 6749 3.3: scope-token.
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'give one scope, without spaces'))
    .max(50)
    .refine((scopes) => scopes.length === 0 || scopes.includes('openid'), 'include the scope "openid", or leave the list empty')
    .default([]),
  clock_skew_seconds: clockSkewSeconds,
});

/** For the API's description: text is taken here too. */
function textForm(description: string) {
  return { description, 'x-text-form': true };
}

/** R15: text form or list; the text's errors carry line and column. */
const rules = z
  .preprocess((value, context) => {
    if (typeof value !== 'string') return value;
    try {
      return parseMappingText(value);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      const problems = error.fields.length > 0 ? error.fields.map(({ message }) => message) : [error.message];
      for (const message of problems) context.issues.push({ code: 'custom', input: value, message });
      return z.NEVER;
    }
  }, mappingRulesSchema)
  .meta(textForm('`A -> b, C -> d`, or a list.'));

/** `"A -> b, C -> d"`, or `{ "rules": [ … ] or text, "one_to_one": true }`. */
export const mappingInput = z
  .preprocess(
    (value) => (typeof value === 'string' ? { rules: value } : value),
    z.strictObject({ rules: rules.prefault([]), one_to_one: z.boolean().default(true) }),
  )
  .meta(textForm('The rules as text, or with their options.'))
  .transform((mapping) => ({ rules: mapping.rules, oneToOne: mapping.one_to_one }));

const groupClaimInput = z
  .preprocess(
    (value) => (typeof value === 'string' ? { name: value } : value),
    z.strictObject({
      name: name.default('groups'),
      delimiter: z.string().min(1).max(10).nullable().default(null),
      name_property: name.nullable().default(null),
      truncation_limit: z.int().positive().nullable().default(null),
    }),
  )
  .meta(textForm('The name alone, or with its options.'));

const groupSyncInput = z.strictObject({
  /** R12: off by default. */
  enabled: z.boolean().default(false),
  group_claim: groupClaimInput.prefault({}),
  mapping: mappingInput.prefault({}),
  no_match: z.enum(['fallback', 'deny', 'keep']).default('fallback'),
  unknown_groups: z.enum(['hold', 'treat-as-empty', 'deny']).default('hold'),
  mode: z.enum(['authoritative', 'managed-only']).default('authoritative'),
  create_missing_groups: z.boolean().default(false),
  keep_last_admin: z.boolean().default(true),
});

const syncListEntryInput = z.strictObject({
  /** Id or slug. */
  workspace: z.string().min(1).max(63),
  is_default: z.boolean().default(false),
  enabled: z.boolean().default(true),
  /** Null inherits (R8, R9). */
  claim_name: name.nullable().default(null),
  mapping: mappingInput.nullable().default(null),
});

export const connectionInputSchema = z
  .strictObject({
    /** Id or slug; null or absent: instance level (R3). */
    workspace: z.string().min(1).max(63).nullable().default(null),
    display_name: label,
    enabled: z.boolean().default(true),
    is_default: z.boolean().default(false),
    just_in_time_provisioning: z.boolean().default(true),
    /** R33: for connections with allowed e-mail domains. */
    linking: z.enum(['none', 'verified-email']).default('none'),
    protocol: z.discriminatedUnion('type', [samlInput, oidcInput], { error: 'give "type": "saml" or "type": "oidc"' }),
    group_sync: groupSyncInput.prefault({}),
    /** Workspaces that an instance-level connection serves. */
    sync_list: z.array(syncListEntryInput).max(10_000).default([]),
  })
  .superRefine((input, context) => {
    const refuse = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (input.workspace !== null && input.is_default) {
      refuse(['is_default'], 'only an instance-level connection can be the default');
    }
    if (input.workspace !== null && input.sync_list.length > 0) {
      refuse(['sync_list'], 'a workspace-level connection serves its own workspace only');
    }
    const defaults = input.sync_list.filter((entry) => entry.is_default);
    // R5: the settings apply to one default workspace.
    if (input.sync_list.length > 0 && defaults.length !== 1) refuse(['sync_list'], 'mark exactly one workspace as default');
  });

export type ConnectionInput = z.output<typeof connectionInputSchema>;
export { label as displayNameSchema, name as claimNameSchema };

/** The group sync settings of an input, as the domain names them. */
export function groupSyncOf({ group_sync: input }: ConnectionInput): GroupSyncSettings {
  const claim = input.group_claim;
  return {
    enabled: input.enabled,
    groupClaim: {
      name: claim.name,
      delimiter: claim.delimiter,
      nameProperty: claim.name_property,
      truncationLimit: claim.truncation_limit,
    },
    mapping: input.mapping,
    noMatch: input.no_match,
    unknownGroups: input.unknown_groups,
    mode: input.mode,
    createMissingGroups: input.create_missing_groups,
    keepLastAdmin: input.keep_last_admin,
  };
}

/** @param metadataXml the metadata as pasted or fetched */
export function samlSettingsOf(input: z.output<typeof samlInput>, metadataXml: string): SamlSettings {
  return {
    type: 'saml',
    metadataXml,
    metadataUrl: input.metadata_url ?? null,
    signAuthnRequests: input.sign_authn_requests,
    authnRequestBinding: input.authn_request_binding,
    nameIdFormat: input.name_id_format,
    emailAttribute: input.email_attribute,
    nameAttribute: input.name_attribute,
    givenNameAttribute: input.given_name_attribute,
    familyNameAttribute: input.family_name_attribute,
    clockSkewSeconds: input.clock_skew_seconds,
  };
}

export function oidcSettingsOf(input: z.output<typeof oidcInput>, sealedClientSecret: string | null): OidcSettings {
  return {
    type: 'oidc',
    discoveryUrl: input.discovery_url,
    clientId: input.client_id,
    sealedClientSecret,
    scopes: input.scopes,
    clockSkewSeconds: input.clock_skew_seconds,
  };
}
