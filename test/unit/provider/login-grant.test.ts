import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatGrantId, parseGrantId } from '../../../src/provider/login-grant.ts';

const text = fc.string({ unit: 'binary' });
const grants = fc.record({
  grantKey: text,
  userId: text,
  clientId: text,
  scope: text,
  connectionId: text,
  loginId: text,
  signedInAt: fc.nat(),
  expiresAt: fc.nat(),
  selector: text,
});

describe('grant id', () => {
  it('carries the whole grant, whatever characters it holds', () => {
    fc.assert(
      fc.property(grants, (grant) => {
        expect(parseGrantId(formatGrantId(grant))).toEqual(grant);
      }),
    );
  });

  it('differs where any part of the grant differs', () => {
    fc.assert(
      fc.property(grants, grants, (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(formatGrantId(one) === formatGrantId(other)).toBe(same);
      }),
    );
  });

  it.each([
    '',
    'opaque-id',
    '{}',
    'null',
    '[]',
    '["k","u","c","s","n","l",1,2]',
    '["k","u","c","s","n","l","1",2,""]',
    '["k",null,"c","s","n","l",1,2,""]',
    '["k","u","c","s","n","l",1,2,"",""]',
  ])('that is none of ours reads as none: %s', (grantId) => {
    expect(parseGrantId(grantId)).toBeNull();
    expect(parseGrantId('["k","u","c","s","n","l",1,2,""]')).toMatchObject({ grantKey: 'k', selector: '' });
  });
});
