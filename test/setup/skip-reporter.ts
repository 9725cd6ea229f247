import type { Reporter, TestCase, Vitest } from 'vitest/node';

/** Prints at the end which tests were skipped and why: the note that `context.skip(note)` was given. */
export class SkipReporter implements Reporter {
  #skipped = new Map<string, string[]>();
  #filtered = false;

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.config.testNamePattern !== undefined;
  }

  onTestCaseResult(test: TestCase): void {
    const result = test.result();
    // A run narrowed by name skips all the others; those need no reason.
    if (result.state !== 'skipped' || (this.#filtered && result.note === undefined)) return;
    const note = result.note ?? (test.options.mode === 'todo' ? 'to do' : 'no reason given');
    this.#skipped.set(note, [...(this.#skipped.get(note) ?? []), test.fullName]);
  }

  onTestRunEnd(): void {
    for (const [note, tests] of this.#skipped) {
      console.log(`skipped, ${note}: ${String(tests.length)} tests`);
      for (const test of tests) console.log(`  ${test}`);
    }
    this.#skipped = new Map();
  }
}
