/**
 * /dev/shm: where it is full open() says so, at whatever moment it became so, and nobody dies by SIGBUS; what killed
 * processes left there is removed, and nothing else. Each case has a /dev/shm of its own.
 */
import { cpus } from 'node:os';
import { describe, expect, test } from 'vitest';
import { describeOnProviders } from '../helpers/providers.js';
import { CHILD_TEST_MS, ownSharedMemory, resultOf, runChild, whyNoOwnSharedMemory } from './child.js';
import type { Asked, FullResult, KilledResult } from './programs/shared-memory.js';

const MIB = 2 ** 20;
/** fi_getinfo lists shm where there is room for an endpoint per core, of 16 to 18 MiB each. */
const cores = cpus().length;
const suffices = 18 * cores * MIB + MIB;
const lengths = [64, 5000, 100_000, 4 * MIB];

const refused = {
  code: 'ERR_FABRIC_UNAVAILABLE',
  message: expect.stringMatching(
    /\/dev\/shm (has \d+ MiB free and \d+ are needed|is full); free some/,
  ) as string,
};

async function run(asked: Asked, bytes: number, inodes = 1000): Promise<unknown> {
  const child = await runChild('shared-memory', asked, { before: ownSharedMemory(bytes, inodes) });
  expect(child.stderr).toBe('');
  return resultOf(child);
}

const needsItsOwn = {
  providers: ['shm'],
  timeoutMs: CHILD_TEST_MS,
  unless: whyNoOwnSharedMemory,
};

describeOnProviders('a /dev/shm', needsItsOwn, () => {
  describe('that is full', () => {
    test.concurrent.each([
      ['one page', 4096],
      ['64 KiB', 65_536],
      ['1 MiB', MIB],
      ['less than one endpoint needs', 15 * MIB],
      ['one page less than fi_getinfo wants', 16 * cores * MIB - 4096],
    ])('refuses the first endpoint with what to do: %s', async (_name, bytes) => {
      const result = await run({ scene: 'fill' }, bytes);
      expect(result).toEqual({ opened: 0, refusals: [refused], arrived: [], left: [] });
    });

    test.concurrent.each([
      ['just enough for fi_getinfo', suffices],
      ['some more', suffices + 20 * MIB],
      ['some pages more than that', suffices + 20 * MIB + 3 * 4096],
    ])('refuses the one that it has no room for, and those that are open go on: %s', async (_name, bytes) => {
      const result = (await run({ scene: 'fill' }, bytes)) as FullResult;
      expect(result).toEqual({
        opened: expect.any(Number) as number,
        refusals: [refused],
        arrived: lengths,
        left: [],
      });
      expect(result.opened).toBeGreaterThan(0);
    });

    test.concurrent('has no room for another file', async () => {
      // The directory itself is the one file.
      const result = await run({ scene: 'fill' }, suffices, 1);
      expect(result).toEqual({ opened: 0, refusals: [refused], arrived: [], left: [] });
    });

    // Each finds enough room when it looks, and together they need more: fi_enable would write into a hole.
    test.concurrent('of many that open at once refuses those that it has no room for', async () => {
      const count = Math.ceil(suffices / (16 * MIB)) + 4;
      const result = (await run({ scene: 'at-once', count }, suffices + 4 * MIB)) as FullResult;
      expect(result).toEqual({
        opened: expect.any(Number) as number,
        refusals: expect.arrayContaining([refused]) as object[],
        arrived: lengths,
        left: [],
      });
      expect(result.opened + result.refusals.length).toBe(count);
    });

    test.concurrent(
      'after endpoints were opened does not hurt them, and takes others when there is room again',
      async () => {
        const result = await run({ scene: 'full-later' }, suffices + 18 * MIB);
        expect(result).toEqual({
          opened: 1,
          refusals: [refused],
          arrived: [...lengths, ...lengths],
          left: [],
        });
      },
    );
  });

  describe('in which a killed process left files', () => {
    const room = (endpoints: number): number => suffices + endpoints * 18 * MIB;

    test.concurrent(
      'loses them when the next endpoint opens, and nothing of the living or of others',
      async () => {
        const result = (await run({ scene: 'killed' }, room(5))) as KilledResult;
        // A lock file and at least one of the provider's for each of the two.
        expect(result.stale.length).toBeGreaterThanOrEqual(4);
        expect(result.staleAfter).toEqual([]);
        expect(result.living.length).toBeGreaterThanOrEqual(2);
        expect(result.livingAfter).toEqual(result.living);
        expect(result.foreign).toEqual([
          '4242:0:0',
          'libfabric-',
          'libfabric-4242-0-1',
          'libfabric-4242-0-1:0:0',
          'notes.lock',
        ]);
        expect(result.codes).toEqual([0]);
      },
    );

    test.concurrent('is cleaned up by several processes at once, which do not hurt each other', async () => {
      const result = (await run({ scene: 'many-cleaners', count: 3 }, room(8))) as KilledResult;
      expect(result.stale.length).toBeGreaterThanOrEqual(4);
      expect(result.staleAfter).toEqual([]);
      expect(result.living.length).toBeGreaterThanOrEqual(6);
      expect(result.livingAfter).toEqual(result.living);
      expect(result.foreign).toEqual([]);
      expect(result.codes).toEqual([0, 0, 0, 0]);
    });
  });
});
