import { BrokerError } from '../domain/broker-error.ts';
import { authorizationError } from './upstream-error.ts';

export interface CallbackExpectation {
  readonly state: string;
  readonly issuer: string;
  /** RFC 9207 3: the IdP says that each of its answers carries `iss`. */
  readonly issuerRequired: boolean;
}

type CallbackCheck = (parameters: URLSearchParams, expected: CallbackExpectation) => BrokerError | null;

/** In this order: an error or a code counts only once the answer is known to belong to this login and to come from this IdP. */
export const callbackChecks = [
  checkSingle,
  checkState,
  checkIssuer,
  checkPlainCodeFlow,
  checkError,
  checkCode,
] as const satisfies readonly CallbackCheck[];

/**
 * Checks the parameters that the IdP sent to the callback, as far as they can be checked without asking it.
 * @throws BrokerError `assertion_rejected`, or what the IdP's error code stands for
 */
export function checkCallback(parameters: URLSearchParams, expected: CallbackExpectation): void {
  for (const check of callbackChecks) {
    const error = check(parameters, expected);
    if (error) throw error;
  }
}

/** RFC 6749 3.1: parameters must not be included more than once. */
function checkSingle(parameters: URLSearchParams): BrokerError | null {
  const doubled = ['state', 'iss', 'code', 'error'].find((name) => parameters.getAll(name).length > 1);
  return doubled === undefined ? null : rejected(`the parameter "${doubled}" came more than once`, 'parameter_repeated');
}

/** RFC 6749 10.12. */
function checkState(parameters: URLSearchParams, { state }: CallbackExpectation): BrokerError | null {
  return parameters.get('state') === state
    ? null
    : rejected('the answer carries another state than the request', 'state_mismatch');
}

/** RFC 9207 2.4: stops the answer of one IdP from being taken for another's (mix-up). */
function checkIssuer(parameters: URLSearchParams, { issuer, issuerRequired }: CallbackExpectation): BrokerError | null {
  const named = parameters.get('iss');
  if (named === null)
    return issuerRequired ? rejected('the answer lacks the parameter "iss", which this IdP always sends', 'iss_missing') : null;
  return named === issuer ? null : rejected('the answer comes from another issuer than the one that was asked', 'iss_mismatch');
}

/** Only `response_type=code` was asked for: tokens in the address are somebody else's idea. */
function checkPlainCodeFlow(parameters: URLSearchParams): BrokerError | null {
  const odd = ['response', 'id_token', 'token', 'access_token'].some((name) => parameters.has(name));
  return odd ? rejected('the answer carries tokens, although only a code was asked for', 'response_type_mismatch') : null;
}

function checkError(parameters: URLSearchParams): BrokerError | null {
  const error = parameters.get('error');
  return error === null ? null : authorizationError(error);
}

function checkCode(parameters: URLSearchParams): BrokerError | null {
  return parameters.get('code') ? null : rejected('the answer carries neither a code nor an error', 'code_missing');
}

function rejected(detail: string, reason: string): BrokerError {
  return new BrokerError('assertion_rejected', detail, { reason });
}
