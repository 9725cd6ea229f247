/**
 * What an idle endpoint costs: how often it wakes up, which is the same on every machine. How much of a core that takes
 * is for `npm run bench -- --costs` to say; here it only must not be what spinning takes. The least of several stretches
 * counts, so that a collection of garbage or a compilation in one of them does not.
 */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, resultOf, runChild, sanitizer } from './child.js';
import type { Asked, IdleResult } from './programs/idle.js';

const unless = (): string | undefined =>
  sanitizer === undefined ? undefined : `${sanitizer} makes every look at a queue cost several times as much`;

describeOnProviders('an idle endpoint', { timeoutMs: CHILD_TEST_MS, unless }, (provider) => {
  // The process has two, and each looks at its queue: without a wait object once in maxSleepMicroseconds, which are 1000;
  // with one its thread looks every 8 ms whether the loop, which watches the object, is at its work.
  const wakingsEach = provider.sleepBy === 'backoff' ? 1000 : 125;

  test.concurrent.each(['auto', 'inline', 'thread'] as const)(
    'sleeps between looks at its queue in the mode %s, and goes on receiving',
    async (progress) => {
      const asked: Asked = { place: openOptions(provider), progress };
      const { percent, wakings, alive } = resultOf(await runChild('idle', asked)) as IdleResult;
      expect(alive).toBe(true);
      expect(Math.min(...wakings)).toBeLessThan(1.3 * 2 * wakingsEach);
      expect(Math.min(...percent)).toBeLessThan(30);
    },
  );
});
