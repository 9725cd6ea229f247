/** A process that was killed or stopped while it held the lock of an endpoint's shared memory holds nobody else. */
import { expect, test } from 'vitest';
import { describeOnProviders } from '../helpers/providers.js';
import { CHILD_TEST_MS, resultOf, runChild } from './child.js';
import type { LockedResult } from './programs/locked.js';

describeOnProviders(
  'shared memory whose lock is kept',
  { providers: ['shm'], timeoutMs: CHILD_TEST_MS },
  () => {
    test('has no room until it is given back, and tells its owner', async (context) => {
      const child = await runChild('locked', {});
      const result = resultOf(child) as LockedResult;
      const { layout } = result;
      if (layout !== 4 && layout !== 5)
        context.skip(`shm's files of layout ${layout} are locked for moments only`);
      const late = 'TimeoutError';
      expect(result).toEqual({
        layout,
        kept: {
          send: late,
          'large send': late,
          sendTagged: late,
          write: late,
          read: late,
          fetchAtomic: late,
          sendBatch: late,
          recv: late,
        },
        told: [expect.stringContaining('nothing arrives until it goes on') as string],
        arrived: [300, 400_000, 500],
        written: 7,
      });
      expect(child.stderr).toBe('');
    });
  },
);
