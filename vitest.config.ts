import { defineConfig } from 'vitest/config';

const shared = { testTimeout: 20_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', './test/support/totals-reporter.ts'],
    projects: [
      { test: { ...shared, name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      // Real servers, started once for the run, and only when one of these files runs.
      {
        test: {
          ...shared,
          name: 'integration',
          include: ['test/{integration,e2e,faults}/**/*.test.ts'],
          globalSetup: './test/support/global-setup.ts',
        },
      },
    ],
  },
});
