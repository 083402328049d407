/**
 * One error type and one table from its code to what outsiders see. `detail` and `cause` go to the log and the login's trace;
 * people and the app get only the table's words and the reference.
 */
interface ErrorFace {
  /** HTTP status of the page or problem document. */
  readonly status: number;
  /** OAuth 2.0 error code (RFC 6749 4.1.2.1, OIDC Core 3.1.2.6) for the redirect to the app. */
  readonly oauth: 'access_denied' | 'login_required' | 'server_error' | 'temporarily_unavailable' | 'invalid_request';
  readonly title: string;
  /** What the reader can do next, in plain words. */
  readonly advice: string;
}

const startAgain = 'Go back to the application and sign in again.';
const askAdmin = 'Ask the administrator of your organisation, and give them the reference below.';

export const errorFaces = {
  login_expired: { status: 400, oauth: 'access_denied', title: 'This sign-in is no longer valid', advice: startAgain },
  assertion_rejected: {
    status: 403,
    oauth: 'access_denied',
    title: 'The answer of your identity provider was not accepted',
    advice: askAdmin,
  },
  assertion_replayed: { status: 403, oauth: 'access_denied', title: 'This sign-in was already used', advice: startAgain },
  upstream_denied: {
    status: 403,
    oauth: 'access_denied',
    title: 'Your identity provider did not sign you in',
    advice: 'Sign in again, or ask your administrator whether you are assigned to this application.',
  },
  login_required: { status: 403, oauth: 'login_required', title: 'Signing in is required', advice: startAgain },
  upstream_misconfigured: {
    status: 502,
    oauth: 'server_error',
    title: 'The connection to your identity provider is not set up correctly',
    advice: askAdmin,
  },
  upstream_unavailable: {
    status: 503,
    oauth: 'temporarily_unavailable',
    title: 'Your identity provider cannot be reached',
    advice: 'Wait a minute and sign in again.',
  },
  connection_disabled: { status: 403, oauth: 'access_denied', title: 'This way to sign in is switched off', advice: askAdmin },
  not_entitled: { status: 403, oauth: 'access_denied', title: 'You do not have access', advice: askAdmin },
  user_archived: { status: 403, oauth: 'access_denied', title: 'Your account is archived', advice: askAdmin },
  licence_expired: {
    status: 403,
    oauth: 'access_denied',
    title: 'Single sign-on is not available',
    advice: 'Use another way to sign in, or ask your administrator.',
  },
  licence_limit_reached: {
    status: 403,
    oauth: 'access_denied',
    title: 'The user limit is reached',
    advice: 'Ask your administrator to make room for you.',
  },
  invalid_request: { status: 400, oauth: 'invalid_request', title: 'The request cannot be understood', advice: startAgain },
  payload_too_large: { status: 413, oauth: 'invalid_request', title: 'The request is too large', advice: askAdmin },
  unauthorized: {
    status: 401,
    oauth: 'access_denied',
    title: 'An API key is required',
    advice: 'Send a valid key as "Authorization: Bearer <key>".',
  },
  forbidden: {
    status: 403,
    oauth: 'access_denied',
    title: 'This API key may not do that',
    advice: 'Use a key with a wider scope.',
  },
  validation_failed: {
    status: 422,
    oauth: 'invalid_request',
    title: 'The request has errors',
    advice: 'Correct the fields that are listed and send it again.',
  },
  not_found: { status: 404, oauth: 'invalid_request', title: 'There is nothing here', advice: 'Check the address.' },
  conflict: {
    status: 409,
    oauth: 'server_error',
    title: 'The request conflicts with what is stored',
    advice: 'Read the current state and try again.',
  },
  cursor_expired: {
    status: 410,
    oauth: 'invalid_request',
    title: 'Events after this cursor are no longer kept',
    advice: 'Bring your copy up to date from a snapshot, and read on from "earliest_cursor".',
  },
  precondition_failed: {
    status: 412,
    oauth: 'server_error',
    title: 'It was changed since you read it',
    advice: 'Read it again, and send your change with the new ETag in "If-Match".',
  },
  idempotency_key_reused: {
    status: 422,
    oauth: 'invalid_request',
    title: 'This Idempotency-Key belongs to another request',
    advice: 'Give each request a key of its own; repeat a key only with the very same request.',
  },
  rate_limited: {
    status: 429,
    oauth: 'temporarily_unavailable',
    title: 'Too many requests',
    advice: 'Wait a minute and try again.',
  },
  unavailable: {
    status: 503,
    oauth: 'temporarily_unavailable',
    title: 'Signing in is not possible at the moment',
    advice: 'Nothing was lost. Wait a minute and try again.',
  },
  internal: { status: 500, oauth: 'server_error', title: 'Something went wrong on our side', advice: startAgain },
} as const satisfies Record<string, ErrorFace>;

export type BrokerErrorCode = keyof typeof errorFaces;

/** A field of the request that must change: JSON path and what to do. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

export interface BrokerErrorOptions {
  readonly cause?: unknown;
  /** Stable, machine-readable refinement of the code, for example `audience_mismatch`. */
  readonly reason?: string;
  readonly fields?: readonly FieldError[];
  /** Further members of the problem document (RFC 9457 3.2), which outsiders see as they are. */
  readonly members?: ProblemMembers;
}

/** Names in snake_case. */
export interface ProblemMembers {
  readonly earliest_cursor?: string;
}

export class BrokerError extends Error {
  readonly code: BrokerErrorCode;
  readonly reason: string | undefined;
  readonly fields: readonly FieldError[];
  readonly members: ProblemMembers;

  /** @param detail for the log and the trace: says what was wrong and what to do; carries no assertion, token or e-mail. */
  constructor(code: BrokerErrorCode, detail: string, options: BrokerErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BrokerError';
    this.code = code;
    this.reason = options.reason;
    this.fields = options.fields ?? [];
    this.members = options.members ?? {};
  }

  get face(): ErrorFace {
    return errorFaces[this.code];
  }
}

/** Anything thrown, as a `BrokerError`: what is not one already is `internal` and keeps its cause for the log. */
export function toBrokerError(thrown: unknown): BrokerError {
  if (thrown instanceof BrokerError) return thrown;
  return new BrokerError('internal', 'unexpected error', { cause: thrown });
}
