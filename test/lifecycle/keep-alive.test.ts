/** ref() and unref(): an open endpoint keeps its process alive, as a listening socket does, unless told not to. */
import { expect, test } from 'vitest';
import { describeOnProviders, openOptions } from '../helpers/providers.js';
import { CHILD_TEST_MS, runChild } from './child.js';
import type { Asked, Held } from './programs/keep-alive.js';

const cases: readonly [Held, boolean][] = [
  ['open', true],
  ['ref-again', true],
  ['one-of-two', true],
  ['unref', false],
  ['unref-receiving', false],
  ['closed', false],
];

// What holds the process is the engine's, the same for all that have a file descriptor to wake by and for all that have not.
const providers = ['shm', 'tcp'];

describeOnProviders('a process with an endpoint', { providers, timeoutMs: CHILD_TEST_MS }, (provider) => {
  test.concurrent.each(cases)('that is %s is kept alive by it: %s', async (held, alive) => {
    const asked: Asked = { place: openOptions(provider), held };
    const { code, signal, stdout, stderr, files } = await runChild('keep-alive', asked);
    expect({ code, signal, stdout, stderr, files }).toEqual({
      code: 0,
      signal: null,
      stdout: alive ? 'opened\nalive\n' : 'opened\n',
      stderr: '',
      files: [],
    });
  });
});
