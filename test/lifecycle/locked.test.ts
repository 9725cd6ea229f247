/** A process that was killed or stopped while it held the lock of an endpoint's shared memory holds nobody else. */
import { expect, test } from 'vitest';
import { describeOnProviders } from '../helpers/providers.js';
import { CHILD_TEST_MS, resultOf, runChild } from './child.js';
import type { LockedResult } from './programs/locked.js';

describeOnProviders(
  'shared memory whose lock is kept',
  { providers: ['shm'], timeoutMs: CHILD_TEST_MS },
  (provider) => {
    test('has no room until it is given back, and tells its owner', async (context) => {
      const child = await runChild('locked', {});
      const result = resultOf(child) as LockedResult;
      const { layout } = result;
      // The version decides, so that a file in which the lock is not found fails.
      if (provider.libraryVersion >= 0x10014)
        context.skip(`shm's files of layout ${layout} are locked for moments only`);
      const late = 'TimeoutError';
      expect(result).toEqual({
        layout: expect.toBeOneOf([4, 5]) as number,
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
        posted: 0,
      });
      expect(child.stderr).toBe('');
    });
  },
);
