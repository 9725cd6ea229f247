/**
 * What an idle endpoint costs: processor time, which a busy machine does not add to. The least of several stretches
 * counts, so that a collection of garbage or a compilation in one of them does not.
 */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, resultOf, runChild, sanitizer } from './child.js';
import type { Asked, IdleResult } from './programs/idle.js';

const unless = (): string | undefined =>
  sanitizer === undefined ? undefined : `${sanitizer} makes every look at a queue cost several times as much`;

describeOnProviders('an idle endpoint', { timeoutMs: CHILD_TEST_MS, unless }, (provider) => {
  // The process has two. Without a wait object each looks at its queue once in maxSleepMicroseconds.
  const percentEach = provider.sleepBy === 'backoff' ? 3 : 1;

  test.concurrent.each(['auto', 'inline', 'thread'] as const)(
    `costs less than ${String(percentEach)} % of a core in the mode %s, and goes on receiving`,
    async (progress) => {
      const asked: Asked = { place: openOptions(provider), progress };
      const { percent, alive } = resultOf(await runChild('idle', asked)) as IdleResult;
      expect(alive).toBe(true);
      expect(Math.min(...percent)).toBeLessThan(2 * percentEach);
    },
  );
});
