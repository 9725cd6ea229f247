import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** Leaves in a file, as an array of strings, the errors of a run that belong to no test: the JSON report has none. */
export class ErrorReporter implements Reporter {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    if (errors.length === 0) return;
    // Where a worker died vitest does not say whose it was.
    const unfinished = modules
      .filter((module) => module.state() === 'pending' || module.state() === 'queued')
      .map((module) => `never finished: ${module.moduleId}`);
    const told = errors.map((error) => ErrorReporter.#told(error));
    writeFileSync(this.#file, JSON.stringify([...told, ...unfinished]));
  }

  static #told({
    message,
    cause,
    stack,
    VITEST_TEST_NAME: test,
    VITEST_TEST_PATH: path,
  }: SerializedError): string {
    const where = [path, test].filter((part) => typeof part === 'string').join(' > ');
    const cut = (text: unknown): string =>
      (typeof text === 'string' ? text : JSON.stringify(text)).slice(0, 2000);
    return [
      `outside of every test: ${message}`,
      ...(where === '' ? [] : [`while this ran: ${where}`]),
      ...(cause === undefined ? [] : [`its cause: ${cut(cause)}`]),
      // Without the message, which it begins with.
      cut((stack?.match(/^ +at .*/gm) ?? []).join('\n')),
    ].join('\n    ');
  }
}
