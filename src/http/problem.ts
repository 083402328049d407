import type { BrokerError, ProblemMembers } from '../domain/broker-error.ts';

/** Problem document (RFC 9457) of the API: the words of the error table, the fields, and the id of the log's lines. */
export interface Problem extends ProblemMembers {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly reason?: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
  readonly request_id: string;
}

export const problemMediaType = 'application/problem+json';

export function problemOf(error: BrokerError, requestId: string): Problem {
  const { title, status, advice } = error.face;
  return {
    type: `urn:rollcall:problem:${error.code}`,
    title,
    status,
    detail: advice,
    code: error.code,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    ...(error.fields.length === 0 ? {} : { errors: error.fields }),
    ...error.members,
    request_id: requestId,
  };
}
