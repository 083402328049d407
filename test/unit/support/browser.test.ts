import { describe, expect, test } from 'vitest';
import { browserMissing, findChromium } from '../../support/browser.ts';

describe('findChromium', () => {
  test('takes the one that CHROMIUM_PATH names', () => {
    expect(findChromium({ env: { CHROMIUM_PATH: '/opt/chromium' }, exists: () => true })).toBe('/opt/chromium');
  });

  test('does not pass over a CHROMIUM_PATH that names nothing', () => {
    expect(() => findChromium({ env: { CHROMIUM_PATH: '/opt/gone' }, exists: (path) => path !== '/opt/gone' })).toThrow(
      '/opt/gone',
    );
  });

  test('looks in the usual places, and says when there is none', () => {
    expect(findChromium({ env: {}, exists: (path) => path === '/usr/bin/google-chrome' })).toBe('/usr/bin/google-chrome');
    expect(findChromium({ env: {}, exists: () => false })).toBeNull();
  });
});

describe('browserMissing', () => {
  test('never excuses a run in CI', () => {
    expect(browserMissing({ env: { CI: 'true' }, exists: () => false })).toBeNull();
  });

  test('gives the reason elsewhere, and none where a browser is', () => {
    expect(browserMissing({ env: {}, exists: () => false })).toContain('no Chromium on this machine');
    expect(browserMissing({ env: {}, exists: () => true })).toBeNull();
  });
});
