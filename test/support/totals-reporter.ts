import type { Reporter, TestModule } from 'vitest/node';

/**
 * Prints `N passed, N failed, N skipped` as the last line, counted from what the runner reports. A file that could not be run,
 * and an error outside every test, count as one failure each.
 */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const totals = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      const before = totals.failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        totals[state === 'passed' || state === 'failed' ? state : 'skipped'] += 1;
      }
      if (module.state() === 'failed' && totals.failed === before) totals.failed += 1;
    }
    // After the default reporter's summary, which is printed when the run has ended.
    process.once('exit', () =>
      process.stdout.write(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`),
    );
  }
}
