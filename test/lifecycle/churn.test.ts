/**
 * Workers that come and go with endpoints of their own, ended at stages that a seed chooses: nothing of them is left, and
 * the main thread's endpoints go on.
 */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, resultOf, runChild, sanitizer } from './child.js';
import type { Asked, ChurnResult } from './programs/churn.js';

/** Workers in each of four rounds; half of them come one after the other, half four at once. */
const rounds = sanitizer === undefined ? 12 : 6;
/** Of memory that a worker may leave: far less than the receive buffers of an endpoint. */
const ALLOWED_KIB = 512;

describeOnProviders('workers that come and go', { timeoutMs: CHILD_TEST_MS }, (provider) => {
  test('leave nothing behind and disturb nobody', async () => {
    const asked: Asked = { place: openOptions(provider), seed: 1, rounds };
    const child = await runChild('churn', asked, {
      nodeFlags: ['--expose-gc'],
      // With an arena for each thread what is free in one is not for others, and the process grows without a leak.
      env: { MALLOC_ARENA_MAX: '1' },
    });
    const result = resultOf(child) as ChurnResult;
    expect(child.stderr).toBe('');
    const { afterOne, afterTwo, afterThree } = result;
    // Every way to end was there. A worker may have come to its end when it is terminated.
    const { 'terminate 0': overtaken = 0, ...ended } = result.ended;
    expect(Object.keys(ended).sort()).toEqual(['end 0', 'exit 0', 'terminate 1']);
    expect(ended['terminate 1']).toBeGreaterThan(overtaken);
    expect(result.heard).toBeGreaterThan(0);
    expect(result.exchanges).toBe(4 * (rounds / 2 + Math.ceil(rounds / 8)));
    expect(afterTwo.threads - afterOne.threads).toBeLessThan(rounds / 2);
    if (provider.sharedMemoryFiles) {
      // Known: what a worker's endpoint shares with one of another thread stays for the life of the process
      // (shm_neighbours.h): its file and the lock beside it, which is open. Nothing more.
      const workers = Object.values(result.ended).reduce((sum, count) => sum + count, 0) / 4;
      expect(afterTwo.descriptors - afterOne.descriptors).toBeLessThan(workers + rounds / 2);
      expect(afterTwo.files - afterOne.files).toBeLessThanOrEqual(2 * workers);
      return;
    }
    // One or two may come and go with the loop's own; what each worker left would be many more.
    expect(afterTwo.descriptors - afterOne.descriptors).toBeLessThan(rounds / 2);
    expect(afterTwo.files).toBe(afterOne.files);
    // A provider may keep some for the next time, a sanitizer keeps all that is freed.
    if (sanitizer !== undefined) return;
    // What leaks does so in every round. How many workers live at once is up to the machine, and memory that was
    // needed once may stay: that is one round's.
    const growth = [
      afterTwo.residentKib - afterOne.residentKib,
      afterThree.residentKib - afterTwo.residentKib,
    ];
    expect(Math.min(...growth)).toBeLessThan(rounds * ALLOWED_KIB);
  });
});
