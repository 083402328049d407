import { describe, expect, it } from 'vitest';
import { exitCodeOf, judgeFailure, ok, problem, renderFindings, together, warning } from '../../../src/cli/doctor-findings.ts';
import { paintFor } from '../../../src/cli/text-table.ts';
import { BrokerError } from '../../../src/domain/broker-error.ts';

const fine = { check: 'clock', ...ok('right') };
const odd = { check: 'Redis', ...warning('old', 'Upgrade it.') };
const bad = { check: 'database', ...problem('away', 'Start it.') };
const plain = paintFor({ env: {} });

describe('the exit code', () => {
  it.each([
    [0, [fine]],
    [0, [fine, odd]],
    [1, [bad]],
    [1, [fine, odd, bad]],
  ])('is %i by the gravest finding', (exitCode, findings) => {
    expect(exitCodeOf(findings)).toBe(exitCode);
  });
});

describe('the report', () => {
  it('has one line for each check with what to do, and counts them', () => {
    expect(renderFindings([fine, odd, bad], plain)).toBe(
      'ok       clock: right\nwarning  Redis: old -> Upgrade it.\nproblem  database: away -> Start it.\n1 ok, 1 warning, 1 problem.\n',
    );
  });

  it('lets no name move the cursor or begin a line of its own', () => {
    const report = renderFindings([{ check: 'connection a\u001b[2J\nok  all', ...ok('right') }], plain);
    expect(report.split('\n')).toHaveLength(3);
    expect(report).not.toContain('\u001b');
  });
});

describe('several verdicts on one thing', () => {
  it('are one: the gravest, with every fix once', () => {
    expect(together([ok('a'), warning('b', 'Fix b.'), problem('c', 'Fix c.'), warning('d', 'Fix b.')])).toEqual({
      level: 'problem',
      detail: 'c; b; d',
      fix: 'Fix c. Fix b.',
    });
    expect(together([ok('a'), ok('b')])).toEqual(ok('a; b'));
  });
});

describe('a check that fails', () => {
  it.each([
    [
      new BrokerError('upstream_unavailable', 'refused', { reason: 'blocked_address' }),
      'ROLLCALL_OUTBOUND_ALLOWED_PRIVATE_ADDRESSES',
    ],
    [new BrokerError('upstream_unavailable', 'away', { reason: 'http_503' }), 'identity provider'],
    [new BrokerError('upstream_misconfigured', 'no metadata', { reason: 'metadata_invalid' }), 'connection'],
    [Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }), 'DATABASE_URL'],
    [new TypeError('x is not a function'), 'run this again'],
    ['a string', 'run this again'],
  ])('is a problem with something to do about it: %s', (thrown, fix) => {
    expect(judgeFailure(thrown)).toMatchObject({ level: 'problem', fix: expect.stringContaining(fix) });
  });
});
