import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../../src/runtime-check.mjs', import.meta.url));

/** Runs the check as if on another version and platform. */
function runOn(version: string, platform = 'linux', arch = 'x64') {
  const pretend = `for (const [key, value] of Object.entries({ versions: { node: '${version}' }, platform: '${platform}', arch: '${arch}' })) Object.defineProperty(process, key, { value });`;
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`, script],
    { encoding: 'utf8' },
  );
  return { status, stderr, stdout };
}

test.each(['24.0.0', '24.21.0', '26.1.0'])('Node %s passes in silence', (version) => {
  expect(runOn(version)).toEqual({ status: 0, stderr: '', stdout: '' });
});

test.each(['18.20.0', '20.20.2', '22.9.0'])('Node %s is refused', (version) => {
  expect(runOn(version)).toMatchObject({ status: 1, stderr: expect.stringContaining(`this is Node ${version}`) });
});

test('says that npm brings the right one where it does, and where to get it elsewhere', () => {
  expect(runOn('20.0.0', 'linux', 'arm64').stderr).toContain('npm ci');
  expect(runOn('20.0.0', 'darwin', 'arm64').stderr).toContain('https://nodejs.org');
});
