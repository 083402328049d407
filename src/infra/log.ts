import { type DestinationStream, type LevelWithSilent, type Logger, pino } from 'pino';

export type Log = Logger;

export interface LogOptions {
  readonly level: LevelWithSilent;
  /** Where the lines go; standard output unless told. */
  readonly destination?: DestinationStream;
}

/**
 * One JSON object per line with ids only: no assertion, token or e-mail (law 9). Errors are written with the few fields that
 * are known to be safe, and their words are scrubbed, because drivers and libraries quote values in their messages.
 */
export function createLog({ level, destination }: LogOptions): Log {
  return pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (thrown: unknown) => describeError(thrown) },
      // A net below the rule that such values are never passed to the log.
      redact: {
        paths: [
          'authorization',
          'cookie',
          'password',
          'email',
          'headers.authorization',
          'headers.cookie',
          'req.headers',
          'res.headers',
        ],
        censor: '[redacted]',
      },
    },
    destination ?? bufferedOutput(),
  );
}

/**
 * Standard output in blocks: a system call for each line costs a login 0.6 ms. Lines wait for a quarter of a second at the most, and are
 * written when the process ends by itself, by a signal that it handles or by an exception; only `kill -9` loses them.
 */
function bufferedOutput(): DestinationStream {
  return pino.destination({ dest: 1, sync: false, minLength: 8_192, periodicFlush: 250 });
}

interface ErrorLine {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly reason?: string;
  readonly stack?: string;
  readonly cause?: ErrorLine;
  readonly errors?: readonly ErrorLine[];
}

const maxCauses = 5;
const maxMessageCharacters = 1_000;

/** The safe part of anything thrown: type, scrubbed message and stack, code, reason and causes. */
export function describeError(thrown: unknown, depth = 0): ErrorLine {
  if (!(thrown instanceof Error)) return { type: typeof thrown, message: scrub(String(thrown)) };
  const { code, reason } = thrown as { code?: unknown; reason?: unknown };
  const nested = depth < maxCauses;
  return {
    type: thrown.name,
    message: scrub(thrown.message),
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
    // The first lines of a stack repeat the message: only the places are kept.
    ...(thrown.stack === undefined ? {} : { stack: thrown.stack.split('\n').filter(isPlace).join('\n') }),
    ...(nested && thrown.cause !== undefined ? { cause: describeError(thrown.cause, depth + 1) } : {}),
    ...(nested && thrown instanceof AggregateError
      ? { errors: thrown.errors.slice(0, maxCauses).map((each) => describeError(each, depth + 1)) }
      : {}),
  };
}

function isPlace(line: string): boolean {
  return /^\s+at /.test(line);
}

function scrub(text: string): string {
  return text
    .slice(0, maxMessageCharacters)
    .replace(/eyJ[\w-]{8,}(\.[\w-]*)*/g, '[token]')
    .replace(/[^\s"'<>(),;:=]{1,64}@[^\s"'<>(),;:=]{1,255}/g, '[address]')
    .replace(/<[^>]*saml[^>]*>[\s\S]*/i, '[xml]');
}
