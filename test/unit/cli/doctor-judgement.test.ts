import { beforeAll, describe, expect, it } from 'vitest';
import {
  judgeClock,
  judgeClockDifference,
  judgeEndpoint,
  judgeLicence,
  judgeMigrations,
  judgeRedis,
  judgeSamlMetadata,
  judgeSealing,
} from '../../../src/cli/doctor-judgement.ts';
import { createCertifiedKey } from '../../../src/infra/self-signed-certificate.ts';
import { type IdpMetadata, parseIdpMetadata } from '../../../src/saml/metadata.ts';
import { samlMetadata } from '../../support/broker-saml-idp.ts';

const now = new Date('2026-06-01T12:00:00Z');
const days = (count: number) => new Date(now.getTime() + count * 86_400_000);

describe('migrations', () => {
  const current = { missing: [], changed: [], newer: [] };
  it.each([
    ['ok', current],
    ['warning', { ...current, newer: ['0009_later.sql'] }],
    ['problem', { ...current, missing: ['0002_next.sql'] }],
    ['problem', { ...current, changed: ['0001_core.sql'] }],
  ])('are %s for %j', (level, state) => {
    expect(judgeMigrations(state).level).toBe(level);
  });
});

describe('clocks', () => {
  it.each([
    ['ok', '2026-06-01T12:00:00Z'],
    ['problem', '1970-01-01T00:00:10Z'],
    ['problem', '2130-01-01T00:00:00Z'],
  ])('%s at %s', (level, moment) => {
    expect(judgeClock(new Date(moment)).level).toBe(level);
  });

  it.each([
    ['ok', 4_900],
    ['ok', -4_900],
    ['warning', 20_000],
    ['warning', -20_000],
    ['problem', 61_000],
    ['problem', -61_000],
    ['problem', Number.NaN],
  ])('%s with %i ms between them', (level, milliseconds) => {
    expect(judgeClockDifference(milliseconds).level).toBe(level);
  });
});

describe('Redis', () => {
  it.each([
    ['ok', '6.2.0'],
    ['ok', '7.4.1'],
    ['ok', '10.0.0'],
    ['problem', '6.0.16'],
    ['problem', '5.9.9'],
    ['warning', 'unknown'],
  ])('is %s at version %s', (level, version) => {
    expect(judgeRedis(`# Server\r\nredis_version:${version}\r\nos:Linux\r\n`).level).toBe(level);
  });
});

describe('sealed secrets', () => {
  it('are ok while all of them open', () => {
    expect(judgeSealing({ opened: 3, lost: [] })).toMatchObject({ level: 'ok', detail: '3 stored secrets can be opened' });
  });

  it('name whose are lost, and do not fill the screen', () => {
    const lost = Array.from({ length: 8 }, (_, index) => ({ owner: `connection ${index}`, why: 'sealed with the key "old"' }));
    const { level, detail } = judgeSealing({ opened: 2, lost });
    expect(level).toBe('problem');
    expect(detail).toMatch(/^8 of 10 stored secrets cannot be opened: connection 0, .*connection 4, 3 more \(.*"old"\)$/);
  });
});

describe('SAML metadata', () => {
  const certificates = { year: '', week: '' };
  beforeAll(async () => {
    for (const [name, validDays] of [
      ['year', 365],
      ['week', 7],
    ] as const) {
      const { certificate } = await createCertifiedKey({ commonName: 'IdP', usage: 'signature', now, validDays });
      certificates[name] = certificate.replaceAll(/-----[^-]+-----|\s/g, '');
    }
  });
  const read = (certificate: string, origin = 'https://idp.example', at = now): IdpMetadata =>
    parseIdpMetadata(samlMetadata({ entityId: 'https://idp.example', origin, certificate }), { maxBytes: 100_000, now: at });

  it('is ok with a certificate for a year and https', () => {
    expect(judgeSamlMetadata(read(certificates.year), now)).toMatchObject({ level: 'ok', fix: null });
  });

  it('warns of a certificate in its last 30 days, and of one past its end', () => {
    expect(judgeSamlMetadata(read(certificates.week), now)).toMatchObject({
      level: 'warning',
      detail: expect.stringContaining('expires at 2026-06-08'),
    });
    expect(judgeSamlMetadata(read(certificates.week, undefined, days(8)), days(8))).toMatchObject({
      level: 'warning',
      detail: expect.stringContaining('expired at 2026-06-08'),
    });
    expect(judgeSamlMetadata(read(certificates.year, undefined, days(334)), days(334)).level).toBe('ok');
    expect(judgeSamlMetadata(read(certificates.year, undefined, days(336)), days(336)).level).toBe('warning');
  });

  it('warns of single sign-on by http, and of metadata that ends soon', () => {
    expect(judgeSamlMetadata(read(certificates.year, 'http://idp.example'), now)).toMatchObject({
      level: 'warning',
      fix: expect.stringContaining('https'),
    });
    const metadata = read(certificates.year);
    expect(judgeSamlMetadata({ ...metadata, validUntil: days(3) }, now).level).toBe('warning');
    expect(judgeSamlMetadata({ ...metadata, validUntil: days(90) }, now).level).toBe('ok');
  });
});

describe('endpoints', () => {
  const state = { enabled: true, disabledReason: null, waiting: 0, oldestWaiting: null };
  it.each([
    ['ok', 'enabled, 0 waiting', state],
    ['ok', 'enabled, 1 waiting delivery', { ...state, waiting: 1, oldestWaiting: now }],
    ['warning', 'the oldest since', { ...state, waiting: 7, oldestWaiting: days(-1) }],
    ['ok', 'disabled on request, 2 waiting', { ...state, enabled: false, disabledReason: 'request' as const, waiting: 2 }],
    ['warning', 'answered 410', { ...state, enabled: false, disabledReason: 'gone' as const }],
  ])('%s: %s', (level, detail, given) => {
    expect(judgeEndpoint(given, now)).toMatchObject({ level, detail: expect.stringContaining(detail) });
  });
});

describe('R34 R35 the licence', () => {
  const valid = {
    status: 'valid' as const,
    source: 'file' as const,
    id: null,
    holder: null,
    expires_at: days(90).toISOString(),
    features: ['sso', 'group_sync'],
    max_users: 10,
  };
  it.each([
    ['ok', valid, 9],
    ['ok', { ...valid, max_users: null }, 1_000],
    ['ok', { ...valid, status: 'not_required' as const }, 1_000],
    ['warning', valid, 10],
    ['warning', { ...valid, expires_at: days(5).toISOString() }, 1],
    ['problem', { ...valid, status: 'expired' as const }, 1],
    ['problem', { ...valid, status: 'missing' as const }, 1],
    ['problem', { ...valid, status: 'invalid' as const }, 1],
    ['problem', { ...valid, status: 'feature_missing' as const }, 1],
  ])('is %s for %j with %i users', (level, licence, users) => {
    expect(judgeLicence(licence, users, now).level).toBe(level);
  });
});
