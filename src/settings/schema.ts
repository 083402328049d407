import { z } from 'zod';
import { licencePublicKeys } from './licence-keys.ts';

/** One line of `config/default.yaml` each; the comments for operators stand there. Units are in the names. */
const seconds = z.number().int().positive();
const bytes = z.number().int().positive();
const secretKey = z
  .string()
  .regex(
    /^[A-Za-z0-9_-]{1,32}:[A-Za-z0-9+/_-]{43}=?$/,
    'give "<key id>:<32 bytes in base64>", as `rollcall keys generate` prints it',
  );

const postgresUrl = z.string().regex(/^postgres(ql)?:\/\//, 'give postgres://user:password@host:port/database');

export const settingsSchema = z.strictObject({
  /** `production` demands https; both demand secrets, which the demo makes for itself (`rules.ts`). */
  mode: z.enum(['production', 'development']),
  /** The address by which browsers and IdPs reach Rollcall; the issuer of its tokens. No path, no trailing slash. */
  publicUrl: z
    .url({ protocol: /^https?$/, abort: true })
    .refine((url) => new URL(url).origin === url, 'give scheme, host and port only, without a trailing slash'),
  http: z.strictObject({
    host: z.string().min(1),
    port: z.number().int().min(0).max(65535),
    /** How many reverse proxies stand in front (Express `trust proxy`). */
    trustedProxies: z.number().int().min(0),
    maxFormBytes: bytes,
    maxJsonBytes: bytes,
    drainSeconds: seconds,
    requestTimeoutSeconds: seconds,
    loginsPerMinutePerAddress: z.number().int().positive(),
  }),
  postgres: z.strictObject({
    /** Null: the embedded server. */
    url: postgresUrl.nullable(),
    /** Bypasses a pooler: for LISTEN and migrations. Null: `url`. */
    directUrl: postgresUrl.nullable(),
    poolSize: z.number().int().positive(),
    statementTimeoutSeconds: seconds,
    /** How long a start waits for the server before it gives up. */
    startWaitSeconds: seconds,
    embeddedDataFolder: z.string().min(1),
  }),
  redis: z.strictObject({
    /** Null: in process, for one replica only. */
    url: z
      .string()
      .regex(/^rediss?:\/\//, 'give redis://… or rediss://…')
      .nullable(),
    keyPrefix: z.string(),
    commandTimeoutMilliseconds: z.number().int().positive(),
  }),
  /** Of connections, mappings and catalogues, in process and in Redis; what they hold is looked up by revision. */
  cache: z.strictObject({
    maxStaleSeconds: z.number().int().min(1).max(60),
    maxEntries: z.number().int().positive(),
    maxMebibytes: z.number().int().positive(),
  }),
  secrets: z.strictObject({
    /** AES-256-GCM keys; the first seals, all open. */
    sealingKeys: z.array(secretKey),
    /** Sign cookies; the first signs, all verify. */
    cookieKeys: z.array(secretKey),
    /** An API key of instance scope that exists from the start; null: none. */
    bootstrapApiKey: z.string().min(32, 'give at least 32 characters').nullable(),
  }),
  login: z.strictObject({
    pendingLoginSeconds: seconds,
    /** 0: no session, the IdP is asked at every login (R26). */
    sessionLifetimeSeconds: z.number().int().min(0),
  }),
  licence: z.strictObject({
    /** PEM, one each. Empty: no licence is required (R34). */
    publicKeys: licencePublicKeys,
    /** A licence set through the API wins over both. */
    token: z.string().min(1).nullable(),
    /** Read again when it changes. */
    file: z.string().min(1).nullable(),
    /** Where people can sign in while the licence does not allow single sign-on (R35). */
    otherSignInUrl: z.url({ protocol: /^https?$/ }).nullable(),
  }),
  saml: z.strictObject({
    maxResponseBytes: bytes,
    maxMetadataBytes: bytes,
    maxElements: z.number().int().positive(),
    clockSkewSeconds: z.number().int().min(0).max(300),
  }),
  provider: z.strictObject({
    tokenSigningAlgorithm: z.enum(['ES256', 'RS256']),
    authorizationCodeSeconds: seconds,
    accessTokenSeconds: seconds,
    idTokenSeconds: seconds,
    /** How long a new key stands in the JWKS before it signs. */
    signingKeyPublishSeconds: z.number().int().min(0),
  }),
  groupSync: z.strictObject({
    /** Highest first; the last one is the fallback. */
    roles: z
      .array(z.string().min(1))
      .min(1)
      .refine((roles) => new Set(roles).size === roles.length, 'name each role once'),
    maxGroupsPerLogin: z.number().int().positive(),
    maxGroupNameCharacters: z.number().int().positive(),
    /** R39. */
    planLossThresholdPercent: z.number().min(0).max(100),
  }),
  outbound: z.strictObject({
    /** For tests and the demo only. */
    allowHttp: z.boolean(),
    /** Hosts, addresses or CIDR ranges that may be reached although they are private or loopback. */
    allowedPrivateAddresses: z.array(z.string()),
    timeoutSeconds: seconds,
    maxResponseBytes: bytes,
    metadataRefreshSeconds: seconds,
    /** The least time between two fetches of an IdP's JWKS on an unknown key id. */
    jwksCooldownSeconds: seconds,
  }),
  delivery: z.strictObject({
    enabled: z.boolean(),
    concurrency: z.number().int().positive(),
    lanesPerLease: z.number().int().positive(),
    deliveriesPerLane: z.number().int().positive(),
    leaseSeconds: seconds,
    timeoutSeconds: seconds,
    pollSeconds: seconds,
    /** Pauses between attempts; after the last one the delivery rests as `exhausted`. */
    retryDelaysSeconds: z.array(seconds).min(1),
    jitterFraction: z.number().min(0).max(1),
    /** The longest pause that a receiver's `Retry-After` brings about. */
    retryAfterMaxSeconds: seconds,
    /** An endpoint is paused after so many failures in a row; each failed probe doubles the pause. */
    circuitFailures: z.number().int().positive(),
    circuitPauseSeconds: seconds,
    circuitMaxPauseSeconds: seconds,
    maxBodyMebibytes: z.number().positive(),
  }),
  snapshots: z.strictObject({
    maxSimultaneous: z.number().int().positive(),
    stallSeconds: seconds,
    maxSeconds: seconds,
  }),
  retention: z.strictObject({
    loginTraceDays: z.number().int().positive(),
    /** Events and attempts go week by week, when a whole one is older. */
    eventDays: z.number().int().positive(),
    attemptDays: z.number().int().positive(),
    /** Null: for ever. */
    auditLogDays: z.number().int().positive().nullable(),
  }),
  log: z.strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']) }),
});

export type Settings = z.infer<typeof settingsSchema>;
