import type { RejectionReason } from '../../src/saml/rejection.ts';
import type { VerifyInput } from '../../src/saml/response.ts';
import type { RespondOptions } from './saml-response-builder.ts';
import type { SamlWorld } from './saml-world.ts';

/** An answer, and what this login expects if it is not the usual. */
export interface Answer {
  readonly responseBase64: string;
  readonly input?: Partial<VerifyInput>;
}

/** One attack, and its twin: the same answer without the one element that makes it an attack. */
export interface Attack {
  readonly name: string;
  readonly reason: RejectionReason;
  readonly refused: (world: SamlWorld) => Answer;
  readonly accepted: (world: SamlWorld) => Answer;
}

/** An attack by what the IdP is made to send. The twin is the genuine answer unless given. */
export function sent(
  name: string,
  reason: RejectionReason,
  refused: Partial<RespondOptions> | ((world: SamlWorld) => Partial<RespondOptions>),
  accepted: Partial<RespondOptions> | ((world: SamlWorld) => Partial<RespondOptions>) = {},
): Attack {
  const answer = (options: typeof refused) => (world: SamlWorld) => ({
    responseBase64: world.respond(typeof options === 'function' ? options(world) : options),
  });
  return { name, reason, refused: answer(refused), accepted: answer(accepted) };
}

/** An attack on the bytes of a genuine answer. */
export function bytes(
  name: string,
  reason: RejectionReason,
  attack: (xml: string) => Buffer | string,
  twin: (xml: string) => Buffer | string = same,
): Attack {
  const answer = (change: (xml: string) => Buffer | string) => (world: SamlWorld) => ({
    responseBase64: Buffer.from(change(world.idp.respondXml(world.genuine))).toString('base64'),
  });
  return { name, reason, refused: answer(attack), accepted: answer(twin) };
}

/** An attack on what this login expects: the answer stays genuine. */
export function expecting(
  name: string,
  reason: RejectionReason,
  input: (world: SamlWorld) => Partial<VerifyInput>,
  twin: (world: SamlWorld) => Partial<VerifyInput> = () => ({}),
): Attack {
  return {
    name,
    reason,
    refused: (world) => ({ responseBase64: world.respond(), input: input(world) }),
    accepted: (world) => ({ responseBase64: world.respond(), input: twin(world) }),
  };
}

const same = (xml: string) => xml;
