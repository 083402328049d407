import { describe, expect, test } from 'vitest';
import { BrokerError } from '../../../src/domain/broker-error.ts';
import { describeError } from '../../../src/infra/log.ts';
import { recordingLog } from '../../support/quiet-log.ts';

const jwt = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${Buffer.from('{"sub":"x"}').toString('base64url')}.c2lnbmF0dXJl`;

describe('log', () => {
  test('writes one JSON object per line, with level, time and fields', () => {
    const { log, lines } = recordingLog();
    log.info({ connectionId: 'c1' }, 'signed in');
    expect(lines).toEqual([{ level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), connectionId: 'c1', msg: 'signed in' }]);
  });

  test('writes code, reason and cause of a broker error', () => {
    const { log, lines } = recordingLog();
    log.error({
      err: new BrokerError('upstream_unavailable', 'no answer', { reason: 'timeout', cause: new Error('socket hang up') }),
    });
    expect(lines[0]?.err).toMatchObject({
      code: 'upstream_unavailable',
      reason: 'timeout',
      message: 'no answer',
      cause: { message: 'socket hang up' },
    });
  });

  test('leaves out everything else that an error carries: drivers put rows and bodies there', () => {
    const { log, lines } = recordingLog();
    const error = Object.assign(new Error('duplicate key'), {
      code: '23505',
      detail: 'Key (email)=(ann@example.com) exists',
      body: jwt,
      config: { password: 'pw' },
    });
    log.error({ err: error });
    expect(JSON.stringify(lines)).not.toMatch(/ann@example\.com|eyJ|"pw"/);
    expect(lines[0]?.err).toMatchObject({ message: 'duplicate key', code: '23505' });
  });

  test.each([
    ['an e-mail', 'no user ann.lee+x@mail.example.com here', '[address]', /ann|lee|mail\.example/],
    ['a JWT', `bad token ${jwt} here`, '[token]', /eyJ/],
    ['SAML XML', 'parse error at <saml:Assertion ID="x">ann</saml:Assertion>', '[xml]', /Assertion|ann/],
    ['a password in an address', 'cannot connect to postgres://rollcall:hunter2@db:5432/x', '[address]', /hunter2/],
  ])('scrubs %s from messages', (_, message, mark, forbidden) => {
    const described = describeError(new Error(message));
    expect(described.message).toContain(mark);
    expect(JSON.stringify(described)).not.toMatch(forbidden);
  });

  test('the stack keeps the places, and not the message in its first line', () => {
    const { stack } = describeError(new Error(`who: ann@example.com\nsecond line ${jwt}`));
    expect(stack).toMatch(/^\s+at /);
    expect(stack).not.toMatch(/ann|eyJ/);
  });

  test('follows causes and the errors of an aggregate, and stops at a circle', () => {
    const circle = new Error('circle');
    circle.cause = circle;
    expect(JSON.stringify(describeError(circle)).match(/circle/g)).toHaveLength(6);
    expect(describeError(new AggregateError([new Error('one'), 'two'], 'both'))).toMatchObject({
      errors: [{ message: 'one' }, { type: 'string', message: 'two' }],
    });
  });

  test('redacts fields that are never meant for it', () => {
    const { log, lines } = recordingLog();
    log.info({ email: 'ann@example.com', password: 'pw', headers: { authorization: 'Bearer x', host: 'h' } });
    expect(lines[0]).toMatchObject({
      email: '[redacted]',
      password: '[redacted]',
      headers: { authorization: '[redacted]', host: 'h' },
    });
  });
});
