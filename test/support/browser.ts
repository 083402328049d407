import { accessSync, constants } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

/** What is known about this machine. */
interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly exists: (path: string) => boolean;
}

const thisMachine: Machine = { env: process.env, exists: isExecutable };

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const usualPaths = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/**
 * The system's Chromium: `CHROMIUM_PATH`, else the usual places; null where there is none.
 * @throws if `CHROMIUM_PATH` names nothing
 */
export function findChromium({ env, exists }: Machine = thisMachine): string | null {
  const chosen = env.CHROMIUM_PATH;
  if (chosen === undefined || chosen === '') return usualPaths.find(exists) ?? null;
  if (!exists(chosen)) throw new Error(`CHROMIUM_PATH names ${chosen}, and nothing is there`);
  return chosen;
}

/** Why browser tests cannot run here; null: they run. In CI they always do, and fail where there is no browser. */
export function browserMissing(machine: Machine = thisMachine): string | null {
  if (machine.env.CI === 'true' || findChromium(machine) !== null) return null;
  return 'no Chromium on this machine: install the package chromium, or set CHROMIUM_PATH';
}

/** A headless Chromium with a new profile, which `close()` removes. */
export function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === null) throw new Error(`Chromium is missing; looked for CHROMIUM_PATH and ${usualPaths.join(', ')}`);
  return chromium.launch({
    executablePath,
    headless: true,
    chromiumSandbox: false,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
