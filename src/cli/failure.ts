import { CommanderError } from 'commander';
import { BrokerError, type FieldError } from '../domain/broker-error.ts';
import { isDatabaseUnavailable } from '../infra/postgres.ts';
import { SettingsError } from '../settings/settings-error.ts';
import { DeclarationError } from './declarative-file.ts';
import { ProblemsFound } from './doctor-findings.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { NotConfirmed } from './not-confirmed.ts';
import { printable } from './text-table.ts';

export interface Failure {
  readonly exitCode: ExitCode;
  /** Lines for standard error; empty where they were written already. */
  readonly text: string;
}

/** What a person at a terminal is told about a command that failed. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof CommanderError) {
    return { exitCode: thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage, text: '' };
  }
  if (thrown instanceof ProblemsFound) return { exitCode: exitCodes.failed, text: '' };
  if (thrown instanceof NotConfirmed) return { exitCode: exitCodes.unconfirmed, text: thrown.message };
  if (thrown instanceof SettingsError) return { exitCode: exitCodes.settings, text: thrown.message };
  if (thrown instanceof DeclarationError) return { exitCode: exitCodes.refused, text: declarationText(thrown) };
  if (isDatabaseUnavailable(thrown)) {
    return { exitCode: exitCodes.unavailable, text: 'Postgres cannot be reached: is DATABASE_URL right and the server running?' };
  }
  if (thrown instanceof BrokerError) return brokerFailure(thrown);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { exitCode: exitCodes.failed, text: `Unexpected failure: ${message.split('\n').map(printable).join('\n')}` };
}

function brokerFailure(error: BrokerError): Failure {
  if (error.reason === 'stopping') {
    return { exitCode: exitCodes.interrupted, text: 'Interrupted: what was done is done completely. Run it again to go on.' };
  }
  if (error.code === 'unavailable') return { exitCode: exitCodes.unavailable, text: printable(error.message) };
  const fields = error.fields.map((field) => `  - ${problemText(field)}`);
  const exitCode = error.code === 'internal' ? exitCodes.failed : exitCodes.refused;
  return { exitCode, text: [`Refused: ${printable(error.message)}`, ...fields].join('\n') };
}

/** `file:line:column: path: what is wrong`, as editors and terminals make links of it. */
function declarationText(error: DeclarationError): string {
  const { fileName, problems } = error;
  const lines = problems.map((problem) => `${fileName}:${problem.line}:${problem.column}: ${problemText(problem)}`);
  return [...lines, `Nothing was changed: ${error.message}.`].join('\n');
}

/** On one line: paths and messages quote names that others chose. */
function problemText({ path, message }: FieldError): string {
  return printable(path === '' ? message : `${path}: ${message}`);
}
