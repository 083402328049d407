import { describe, expect, it } from 'vitest';
import { redacted } from '../../../src/http/audit-redaction.ts';

describe('what the audit log keeps of a state', () => {
  it('is without secrets, wherever they stand', () => {
    const state = {
      url: 'https://app.example.com',
      secret: 'whsec_x',
      key: 'rollcall_key_x',
      protocol: { client_id: 'c', client_secret: 's', has_client_secret: true },
      list: [{ token: 't', token_endpoint_auth_method: 'none' }],
    };
    expect(redacted(state)).toEqual({
      url: 'https://app.example.com',
      secret: '[redacted]',
      key: '[redacted]',
      protocol: { client_id: 'c', client_secret: '[redacted]', has_client_secret: true },
      list: [{ token: '[redacted]', token_endpoint_auth_method: 'none' }],
    });
  });

  it('is without what tells who a person is; names of things stay', () => {
    const member = {
      user: { id: '1', email: 'ann@example.com', name: 'Ann', status: 'active' },
      groups: [{ id: '2', name: 'eng' }],
    };
    expect(redacted(member)).toEqual({
      user: { id: '1', email: '[redacted]', name: '[redacted]', status: 'active' },
      groups: [{ id: '2', name: 'eng' }],
    });
    expect(redacted({ connection_id: '1', subject: 'ann@example.com' })).toEqual({ connection_id: '1', subject: '[redacted]' });
    expect(redacted({ user: { email: null, name: 'Ann' } })).toEqual({ user: { email: null, name: '[redacted]' } });
  });

  it('keeps every other value and name as it is', () => {
    const odd = JSON.parse('{"__proto__":{"x":1},"constructor":"y","n":null,"emoji":"🦊"}');
    expect(JSON.stringify(redacted(odd))).toBe(JSON.stringify(odd));
  });
});
