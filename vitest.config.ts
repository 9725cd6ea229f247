import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { ErrorReporter } from './test/setup/error-reporter.js';
import { SilenceReporter } from './test/setup/silence-reporter.js';
import { SkipReporter } from './test/setup/skip-reporter.js';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

// Where to leave the counts, and what no test has counted, for scripts/test.mjs, which adds up several runs.
const report = process.env.LIBFABRIC_TEST_REPORT;
const errors = process.env.LIBFABRIC_TEST_ERRORS;

/** Files that run two child processes at a time themselves, or that look at what a core is doing. */
const alone = ['test/endpoint/{asleep,away,dead-peers}.test.ts', 'test/lifecycle/**/*.test.ts'];

function project(
  name: string,
  files: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration {
  return {
    resolve: {
      // Tests see the sources; programs that a test starts with plain node see dist/ by the package's name.
      alias: [
        { find: /^libfabric$/, replacement: path('./src/index.ts') },
        { find: /^libfabric\/fi$/, replacement: path('./src/fi/index.ts') },
        { find: /^libfabric\/testing$/, replacement: path('./src/testing/index.ts') },
      ],
    },
    // Node 20 knows no `using`: lower it, for the tests as tsc does for the library.
    oxc: { target: 'es2022' },
    test: {
      name,
      // An addon with threads of its own belongs in processes: worker threads would share one copy of it.
      pool: 'forks',
      // Tests that wait for child processes run two at once, on the two cores of the smallest machine.
      maxConcurrency: 2,
      retry: 0,
      // Longer than a child process may take (test/helpers/program.ts), whose last words then tell why.
      testTimeout: 45_000,
      hookTimeout: 20_000,
      ...files,
    },
  };
}

export default defineConfig({
  test: {
    // Endpoints spin for moments only, so files of one process share two cores well; the others come after them.
    projects: [
      project('pairs', {
        include: ['test/**/*.test.ts'],
        exclude: alone,
        maxWorkers: 2,
        sequence: { groupOrder: 0 },
      }),
      project('alone', { include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } }),
    ],
    teardownTimeout: 20_000,
    globalSetup: ['test/setup/ledger.ts'],
    reporters: [
      'default',
      new SkipReporter(),
      new SilenceReporter(),
      ...(report === undefined ? [] : ['json']),
      ...(errors === undefined ? [] : [new ErrorReporter(errors)]),
    ],
    ...(report === undefined ? {} : { outputFile: { json: report } }),
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reportsDirectory: 'coverage' },
  },
});
