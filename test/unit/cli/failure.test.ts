import { describe, expect, it } from 'vitest';
import { DeclarationError, readDeclaration } from '../../../src/cli/declarative-file.ts';
import { exitCodes } from '../../../src/cli/exit-codes.ts';
import { failureOf } from '../../../src/cli/failure.ts';
import { BrokerError } from '../../../src/domain/broker-error.ts';

function thrownBy(text: string): unknown {
  try {
    return readDeclaration({ text, fileName: 'rollcall.yaml', folder: '.', env: {}, allowHttp: false });
  } catch (error) {
    return error;
  }
}

describe('what a person at a terminal is told', () => {
  it('names every problem of a file, one on a line', () => {
    const error = thrownBy('colour: red\nshape: round\n');
    expect(error).toBeInstanceOf(DeclarationError);
    expect(failureOf(error).text.split('\n')).toEqual([
      'rollcall.yaml:1:1: colour: there is no such field',
      'rollcall.yaml:2:1: shape: there is no such field',
      'Nothing was changed: the file has 2 problems.',
    ]);
  });

  it.each([
    ['a key', '"\\e[2Jdone\\nrollcall.yaml:1:1\\u009b": 1'],
    ['a variable', 'workspaces: [{ slug: { env: "\\e]0;x\\a\\r\\nok" } }]'],
    ['a file', 'workspaces: [{ slug: { file: "\\e[1A\\nok" } }]'],
    ['an alias', 'a: *\u001b[2Jx'],
  ])('lets no control character of a file through, nor a line of its own: %s', (_what, text) => {
    const { text: told } = failureOf(thrownBy(text));
    expect(told).toMatch(/^rollcall\.yaml:1:\d+: .*\nNothing was changed: the file has 1 problem\.$/);
    expect(told.replace('\n', '')).not.toMatch(/\p{Cc}/u);
  });

  it('shows names of the database as plain text in a refusal', () => {
    const fields = [{ path: 'connection Okta\u001b[2J\n  - x', message: 'now: \u009bremoved' }];
    const error = new BrokerError('conflict', 'the world\u001b[31m moved', { fields });
    expect(failureOf(error)).toEqual({
      exitCode: exitCodes.refused,
      text: 'Refused: the world\ufffd[31m moved\n  - connection Okta\ufffd[2J\ufffd  - x: now: \ufffdremoved',
    });
    expect(failureOf(new Error('relation "\u001b[2J" is\nmissing')).text).toBe(
      'Unexpected failure: relation "\ufffd[2J" is\nmissing',
    );
  });
});
