/** What else lives in a process with endpoints: its signal handlers go on, and the programs that it starts inherit nothing. */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, resultOf, runChild } from './child.js';
import type { Asked, ChildrenResult, SignalsResult } from './programs/neighbours.js';

describeOnProviders('a process with endpoints', { timeoutMs: CHILD_TEST_MS }, (provider) => {
  const run = async (asked: Omit<Asked, 'place'>): Promise<unknown> => {
    const child = await runChild('neighbours', { place: openOptions(provider), ...asked });
    expect(child.stderr).toBe('');
    return resultOf(child);
  };

  test.concurrent.each(['auto', 'inline', 'thread'] as const)(
    'handles its signals itself, in the mode %s',
    async (progress) => {
      const { threads, seen, maskKept } = (await run({ scene: 'signals', progress })) as SignalsResult;
      expect(threads.filter(({ takes }) => takes !== '0')).toEqual([]);
      // One for each endpoint, besides those of the provider.
      if (progress === 'inline') expect(threads.filter(({ name }) => name === 'libfabric')).toEqual([]);
      else expect(threads.length).toBeGreaterThanOrEqual(2);
      expect(seen).toEqual({ SIGTERM: 20, SIGINT: 20, SIGHUP: 20, SIGUSR2: 20 });
      expect(maskKept).toBe(true);
    },
  );

  test.concurrent('starts programs that inherit nothing of its endpoints, which go on', async () => {
    const result = (await run({ scene: 'children', progress: 'auto' })) as ChildrenResult;
    expect(result).toEqual({ inheritedBySpawn: [], inheritedBySpawnSync: [], exchanged: 4 });
  });
});
