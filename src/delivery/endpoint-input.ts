import { z } from 'zod';
import { eventTypes } from '../outbox/event-schema.ts';
import { endpointHeaders, endpointHeadersPatch } from './endpoint-headers.ts';
import { secretOverlapSeconds } from './endpoint-secrets.ts';
import { secretKey } from './signature.ts';

const maxUrlCharacters = 2_048;
const maxDescriptionCharacters = 500;
const maxWorkspaces = 1_000;
const maxRatePerSecond = 10_000;
const maxConcurrency = 1_000;
const maxOverlapSeconds = 7 * 24 * 60 * 60;

/**
 * What the API and the declarative file say about an endpoint.
 * @param allowHttp also accept `http:` addresses (`outbound.allowHttp`; tests and the demo)
 */
export function endpointInput({ allowHttp }: { readonly allowHttp: boolean }) {
  const fields = endpointFields(allowHttp);
  return z.strictObject({
    url: fields.url,
    description: fields.description.default(''),
    eventTypes: fields.eventTypes.default(null),
    workspaceIds: fields.workspaceIds.default(null),
    enabled: fields.enabled.default(true),
    headers: fields.headers.default({}),
    rateLimitPerSecond: fields.rateLimitPerSecond.default(null),
    maxConcurrency: fields.maxConcurrency.default(null),
    /** Left out: Rollcall makes one and shows it once. */
    secret: fields.secret.optional(),
  });
}

/** A change: what is left out stays as it is. The secret has a rotation of its own. */
export function endpointPatch({ allowHttp }: { readonly allowHttp: boolean }) {
  const { secret: _, ...fields } = endpointFields(allowHttp);
  return z.strictObject({ ...fields, headers: endpointHeadersPatch }).partial();
}

/** A new secret; the old ones sign beside it for so long. */
export const secretRotation = z.strictObject({
  /** Left out: Rollcall makes one. */
  secret: givenSecret().optional(),
  overlapSeconds: z.int().min(0).max(maxOverlapSeconds).default(secretOverlapSeconds),
});

export type EndpointInput = z.output<ReturnType<typeof endpointInput>>;
export type EndpointPatch = z.output<ReturnType<typeof endpointPatch>>;
export type SecretRotation = z.output<typeof secretRotation>;

function endpointFields(allowHttp: boolean) {
  return {
    url: webhookUrl(allowHttp),
    description: z.string().max(maxDescriptionCharacters),
    /** Null: all, also those that later versions add. */
    eventTypes: z.array(z.enum(eventTypes)).min(1, 'name at least one type, or give null for all').nullable(),
    /** Null: all. An endpoint for some workspaces gets no events that belong to none (`user.*`). */
    workspaceIds: z.array(z.uuid()).min(1, 'name at least one workspace, or give null for all').max(maxWorkspaces).nullable(),
    enabled: z.boolean(),
    headers: endpointHeaders,
    /** Attempts in a second, on the average; null: as many as there are to make. */
    rateLimitPerSecond: z.int().min(1).max(maxRatePerSecond).nullable(),
    /** Requests under way at a time; null: as many as the worker makes. */
    maxConcurrency: z.int().min(1).max(maxConcurrency).nullable(),
    secret: givenSecret(),
  };
}

function givenSecret() {
  return z.string().refine((secret) => secretKey(secret) !== null, 'give "whsec_" and 24 to 64 random bytes in base64');
}

/** Where an address leads is checked when it is connected to (law 8); here only what can be seen in it. */
function webhookUrl(allowHttp: boolean) {
  return z
    .string()
    .max(maxUrlCharacters)
    .transform((text, context) => {
      const problem = urlProblem(text, allowHttp);
      if (problem === null) return new URL(text).href;
      context.addIssue(problem);
      return z.NEVER;
    });
}

function urlProblem(text: string, allowHttp: boolean): string | null {
  const url = URL.parse(text);
  if (url === null) return 'give an absolute URL, such as https://app.example.com/webhooks';
  // Letters beyond ASCII take up to nine characters each: more than an index of Postgres holds.
  if (url.href.length > maxUrlCharacters) return `keep it within ${maxUrlCharacters} characters, written as it is sent`;
  if (url.protocol !== 'https:' && !(allowHttp && url.protocol === 'http:')) return 'give an https: address';
  // They would be stored and shown in the clear; the signature is what tells the receiver who calls.
  if (url.username !== '' || url.password !== '') return 'leave user name and password out of the address';
  if (url.hash !== '') return 'leave the part after # out: it is never sent';
  return null;
}
