import { z } from 'zod';
import type {
  EndpointDisabledData,
  EndpointTestData,
  LicenceData,
  LicenceLimitData,
  MembershipData,
  MembershipSnapshotData,
  SyncHeldData,
  UserData,
  UserDeletedData,
  WebhookEvent,
} from '../domain/webhook-event.ts';

/** Does not compile when the events of the domain no longer fit the schema that describes them. */
type SchemaOf<Data, Schema extends z.ZodType> = Data extends z.infer<Schema> ? Schema : never;

const id = z.uuid();
const named = z.strictObject({ id, name: z.string() });
const workspace = z.strictObject({ id, slug: z.string() });
const version = z
  .int()
  .min(1)
  .describe('Grows by one with each change of the membership. Apply an event only if it is newer than what you have.');
const groups = z.array(named).readonly();
const state = z.strictObject({ role: z.string(), groups });
const cause = z
  .strictObject({
    kind: z.enum(['login', 'api', 'plan', 'scim']),
    connection_id: id.nullable(),
    login_id: id.nullable(),
  })
  .describe('What made Rollcall look at this member.');

const userSchema = z.strictObject({
  user: z.strictObject({ id, email: z.string().nullable(), name: z.string().nullable(), status: z.enum(['active', 'archived']) }),
});
const userData: SchemaOf<UserData, typeof userSchema> = userSchema;

const userDeletedSchema = z.strictObject({ user: z.strictObject({ id }) });
const userDeletedData: SchemaOf<UserDeletedData, typeof userDeletedSchema> = userDeletedSchema;

const membershipSchema = z.strictObject({
  workspace,
  user: z.strictObject({ id, email: z.string().nullable(), name: z.string().nullable() }),
  role: z.string(),
  groups: groups.describe('All groups after the change, in the order of their names.'),
  version,
  previous: state.nullable().describe('The state before the change; null when there was none.'),
  added: groups,
  removed: groups,
  cause,
});
const membershipData: SchemaOf<MembershipData, typeof membershipSchema> = membershipSchema;

const syncHeldSchema = z.strictObject({
  workspace,
  user: z.strictObject({ id }),
  reason: z
    .enum(['groups_absent', 'groups_overage', 'groups_truncated', 'groups_malformed', 'last_admin'])
    .describe('Why access was left as it was.'),
  detail: z.string(),
  version: z.int().min(0).describe('The version of the membership, which this event does not change.'),
  cause,
});
const syncHeldData: SchemaOf<SyncHeldData, typeof syncHeldSchema> = syncHeldSchema;

const licenceSchema = z.strictObject({
  licence: z.strictObject({
    status: z
      .enum(['not_required', 'missing', 'invalid', 'expired', 'feature_missing', 'valid'])
      .describe('Logins and sync need `valid`, or `not_required`.'),
    source: z.enum(['api', 'environment', 'file']).nullable(),
    id: z.string().nullable(),
    holder: z.string().nullable(),
    expires_at: z.iso.datetime().nullable(),
    features: z.array(z.string()).readonly(),
    max_users: z.int().min(0).nullable().describe('Active users there may be; null: any number.'),
  }),
});
const licenceData: SchemaOf<LicenceData, typeof licenceSchema> = licenceSchema;

const licenceLimitSchema = z.strictObject({ max_users: z.int().min(0), active_users: z.int().min(0) });
const licenceLimitData: SchemaOf<LicenceLimitData, typeof licenceLimitSchema> = licenceLimitSchema;

const endpoint = z.strictObject({
  id,
  url: z.string().describe('Without its query.'),
  description: z.string(),
});

const endpointDisabledSchema = z.strictObject({
  endpoint,
  reason: z
    .enum(['gone', 'failing'])
    .describe('gone: the receiver answered 410; failing: nothing succeeded for as long as attempts are made.'),
  failing_since: z.iso.datetime().nullable(),
  last_status: z.int().nullable().describe('HTTP status of the last attempt; null: there was no answer.'),
  last_error: z.string().nullable(),
});
const endpointDisabledData: SchemaOf<EndpointDisabledData, typeof endpointDisabledSchema> = endpointDisabledSchema;

const endpointTestSchema = z.strictObject({ endpoint });
const endpointTestData: SchemaOf<EndpointTestData, typeof endpointTestSchema> = endpointTestSchema;

const membershipSnapshotSchema = z.strictObject({
  workspace,
  user: userSchema.shape.user,
  role: z.string(),
  groups: groups.describe('All groups, in the order of their names.'),
  version,
  status: z.enum(['active', 'removed']).describe('removed: the person is no longer a member; take what else it says as past.'),
});
const membershipSnapshotData: SchemaOf<MembershipSnapshotData, typeof membershipSnapshotSchema> = membershipSnapshotSchema;

function envelope<Type extends string, Data extends z.ZodType>(type: Type, data: Data, description: string) {
  return z
    .strictObject({ type: z.literal(type), timestamp: z.iso.datetime().describe('When it happened, in UTC.'), data })
    .describe(description);
}

/**
 * The envelope of each event type as receivers see it. The JSON Schemas of `docs/events/` are made from these; unlike them, these
 * are strict: a field that is sent but not described here fails the tests.
 */
export const eventSchemas = {
  'user.created': envelope('user.created', userData, 'A person logged in, or was added, for the first time.'),
  'user.updated': envelope('user.updated', userData, 'The profile of a person changed.'),
  'user.archived': envelope('user.archived', userData, 'A person was archived and can no longer log in.'),
  'user.restored': envelope('user.restored', userData, 'An archived person may log in again.'),
  'user.deleted': envelope(
    'user.deleted',
    userDeletedData,
    'A person was deleted. Erase what you hold about them; a later login makes a new user.',
  ),
  'membership.created': envelope('membership.created', membershipData, 'A person became a member of a workspace.'),
  'membership.updated': envelope('membership.updated', membershipData, 'The role or the groups of a member changed.'),
  'membership.removed': envelope('membership.removed', membershipData, 'A person is no longer a member of a workspace.'),
  'sync.held': envelope('sync.held', syncHeldData, 'Access was left as it was, although a login asked for a look at it.'),
  'licence.changed': envelope('licence.changed', licenceData, 'Another licence is in force, or none.'),
  'licence.limit_reached': envelope(
    'licence.limit_reached',
    licenceLimitData,
    'A new person was refused because every seat of the licence is taken. Told once a day, and anew for another limit.',
  ),
  'endpoint.disabled': envelope(
    'endpoint.disabled',
    endpointDisabledData,
    'Rollcall gave an endpoint up; the other endpoints are told. Events that happen until somebody enables it again are not sent to it.',
  ),
  'endpoint.test': envelope(
    'endpoint.test',
    endpointTestData,
    'Somebody asked for a test. Sent to one endpoint alone, whatever types it wants, and not in the event log.',
  ),
  'membership.snapshot': envelope(
    'membership.snapshot',
    membershipSnapshotData,
    'The state of a membership, which did not change: part of a snapshot that this endpoint asked for, whatever types it wants. Not in the event log.',
  ),
} as const satisfies Record<WebhookEvent['type'], z.ZodType>;

export type EventType = keyof typeof eventSchemas;
export const everyEventType = Object.keys(eventSchemas) as [EventType, ...EventType[]];

/** Made for one endpoint alone: nobody subscribes to them, and they do not stand in the log. */
const directEventTypes = ['endpoint.test', 'membership.snapshot'] as const;
/** The types of the log, to which endpoints subscribe. */
export type LoggedEventType = Exclude<EventType, (typeof directEventTypes)[number]>;
export const eventTypes = everyEventType.filter((type) => !(directEventTypes as readonly string[]).includes(type)) as [
  LoggedEventType,
  ...LoggedEventType[],
];

/**
 * The JSON Schema (draft 2020-12) of one event type, as committed under `docs/events/`. It permits fields that it does not know,
 * because later versions may add some.
 */
export function eventJsonSchema(type: EventType): object {
  const { $schema, ...schema } = z.toJSONSchema(eventSchemas[type], {
    override: ({ jsonSchema }) => {
      delete jsonSchema.additionalProperties;
      delete jsonSchema.readOnly;
      // The format says it in words; the expression would only say it again.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
    },
  });
  return { $schema, title: type, ...schema };
}
