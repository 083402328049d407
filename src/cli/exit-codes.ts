/** What a command ends with, for scripts; shown by `rollcall --help`. */
export const exitCodes = {
  done: 0,
  /** Something that should not happen, and the message says more; of `doctor`: it found a problem. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
  settings: 3,
  /** A file or argument has errors, or conflicts with what is stored. */
  refused: 4,
  /** Postgres cannot be reached. */
  unavailable: 5,
  /** There is something to change, and nobody confirmed it. */
  unconfirmed: 6,
  /** Interrupted after a part of the work; running it again completes it. */
  interrupted: 7,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodesHelp = `
Exit codes:
  0  done
  1  failed unexpectedly; doctor: found a problem
  2  the command line is wrong
  3  the settings are wrong
  4  a file or argument has errors, or conflicts with what is stored
  5  Postgres cannot be reached
  6  apply: there is something to change, and nobody confirmed it; nothing was changed
  7  apply: interrupted after a part of the members; running it again completes it`;
